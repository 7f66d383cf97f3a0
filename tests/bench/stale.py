#!/usr/bin/env python3
"""Reads the lines of `athena simulate --experiment stale --json` and prints tables, and what is reached of spec "To reach".

Of several seeds the mean counts. A run in which a queue grew without end counts as endless."""

import json
import sys
from collections import defaultdict

OURS, TOLD = "adaptive", "weighted"
APART = {OURS, "shortest-queue", "lowest-reported", "two-reported"}

# What a draft of adaptive reached at ρ = 0.9, by the time between reports: to be met within 3 %.
DRAFT = {
    "equal": {0.1: 2.06, 1: 2.40, 5: 3.14, 20: 4.01, 50: 4.63},
    "unequal": {0.1: 1.99, 1: 2.39, 5: 3.11, 20: 3.97, 50: 4.65},
    "members100": {1: 1.80, 5: 2.65, 20: 3.56, 50: 4.18},
    "heavy": {1: 6.07, 5: 7.30, 20: 10.4, 50: 14.4},
    "smoothed": {1: 2.66, 5: 3.52, 20: 4.41, 50: 5.03},
    "drift": {1: 2.44, 5: 3.30, 20: 5.00, 50: 8.82},
    "shared3": {1: 2.60, 5: 3.42, 20: 4.29, 50: 4.92},
    "bursts": {1: 10.2, 5: 10.5, 20: 11.1, 50: 11.8},
    "workers8": {1: 8.45, 5: 8.84, 20: 9.57, 50: 10.2},
}
DRAFT_HALF = {1: 1.10, 5: 1.24, 20: 1.31, 50: 1.36}


def read(path):
    runs, cases, rules, seeds = defaultdict(list), [], [], set()
    for line in open(path):
        run = json.loads(line)
        mean = float("inf") if run.get("overloaded") else run["mean"]
        runs[run["case"], run["rho"], run["report_every"], run["rule"]].append(mean)
        seeds.add(run["seed"])
        if run["case"] not in cases:
            cases.append(run["case"])
        if run["rule"] not in rules:
            rules.append(run["rule"])
    return {key: sum(means) / len(means) for key, means in runs.items()}, cases, rules, sorted(seeds)


def shown(number):
    if number is None:
        return ""
    if number == float("inf"):
        return "∞"
    return f"{number:.2f}" if number < 9.995 else f"{number:.1f}" if number < 99.95 else f"{number:.0f}"


def row(cells):
    print("| " + " | ".join(cells) + " |")


def table(head, rows):
    row(head)
    row(["---"] * len(head))
    for cells in rows:
        row(cells)
    print()


def main():
    means, cases, rules, seeds = read(sys.argv[1])
    rhos = sorted({key[1] for key in means})
    every = sorted({key[2] for key in means})
    print(f"Means over the seeds {', '.join(map(str, seeds))}.\n")
    get = lambda case, rho, at, rule: means.get((case, rho, at, rule))

    def best(case, rho, at):
        others = [(get(case, rho, at, rule), rule) for rule in rules if rule not in APART]
        others = [other for other in others if other[0] is not None]
        return min(others, default=(None, None))

    pair = [case for case in ("equal", "unequal") if case in cases]
    if pair and 0.9 in rhos:
        print("Mean response time in service times, ρ = 0.9:\n")
        head = ["rule"] + [f"{case if at == every[0] else ''} T={at}".strip() for case in pair for at in every]
        bold = lambda rule, text: f"**{text}**" if rule == OURS else text
        table(head, [[bold(rule, rule)] + [bold(rule, shown(get(case, 0.9, at, rule))) for case in pair for at in every] for rule in rules])
    harder = [case for case in cases if case not in pair]
    if harder and 0.9 in rhos:
        print("Harder cases, ρ = 0.9: the best other rule, and adaptive:\n")
        rows = []
        for case in harder:
            others = [best(case, 0.9, at) for at in every]
            rows.append([case] + [f"{shown(value)} {rule}" for value, rule in others] + [f"**{shown(get(case, 0.9, at, OURS))}**" for at in every])
        table(["case"] + [f"best T={at}" for at in every] + [f"adaptive T={at}" for at in every], rows)

    print("Adaptive over the best other rule (to reach: 1.03 at most):\n")
    rows, missed, below = [], [], []
    for case in cases:
        for rho in rhos:
            cells = []
            for at in every:
                mine, (other, rule) = get(case, rho, at, OURS), best(case, rho, at)
                if mine is None or other is None:
                    cells.append("")
                    continue
                ratio = mine / other
                cells.append(f"**{ratio:.2f}**" if ratio > 1.03 else f"{ratio:.2f}")
                if ratio > 1.03:
                    missed.append((ratio, case, rho, at, mine, other, rule))
                told = get(case, rho, at, TOLD)
                if told is not None and mine > 1.01 * told:
                    below.append((mine / told, case, rho, at))
            rows.append([case, str(rho)] + cells)
    table(["case", "ρ"] + [f"T={at}" for at in every], rows)

    total = sum(1 for cells in rows for cell in cells[2:] if cell)
    print(f"Missed: {len(missed)} of {total}.\n")
    for ratio, case, rho, at, mine, other, rule in sorted(missed, reverse=True):
        print(f"- {case}, ρ = {rho}, T = {at}: {shown(mine)}, {rule} {shown(other)} ({ratio:.2f})")
    print(f"\nWorse than weighted round robin by more than 1 %: {len(below)} of {total}.\n")
    for ratio, case, rho, at in sorted(below, reverse=True):
        print(f"- {case}, ρ = {rho}, T = {at}: {ratio:.2f}")

    drafts = [(case, 0.9, figures) for case, figures in DRAFT.items()] + [("equal", 0.5, DRAFT_HALF)]
    slower, met = [], 0
    for case, rho, figures in drafts:
        for at, figure in figures.items():
            mine = get(case, rho, at, OURS)
            if mine is None:
                continue
            met += mine <= 1.03 * figure
            if mine > 1.03 * figure:
                slower.append(f"- {case}, ρ = {rho}, T = {at}: {shown(mine)}, the draft {shown(figure)} ({mine / figure:.2f})")
    print(f"\nThe draft's figures, within 3 % or better: {met} of {met + len(slower)}.\n")
    print("\n".join(slower))


main()
