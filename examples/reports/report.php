#!/usr/bin/env php
<?php
// Reports from PHP: how busy the machine and its FPM pool are. PHP itself lives for one request only, so one process
// reports for all of them:
//
//   ATHENA_SERVER=http://10.0.0.53:8053 ./report.php app01 [SECONDS]       # 0: once, for cron
//
// ATHENA_KEY is the key that access.update_key asks for, if it does. FPM_STATUS=http://127.0.0.1/fpm-status?json adds what
// pm.status_path says: r, requests in flight, and queue, those that wait for a worker. To report from within a request
// instead, take the function and call it after fastcgi_finish_request(), when the client has its answer.
// Needs no extension but json, which is always there.

declare(strict_types=1);

/**
 * Sends one report; names map to finite numbers. Gives null when Athena has taken it, else the reason.
 */
function athena_report(string $backend, array $statistics, float $timeout = 5.0): ?string
{
    $server = rtrim(getenv('ATHENA_SERVER') ?: 'http://127.0.0.1:8053', '/');
    $pairs = ['h=' . rawurlencode($backend)];
    foreach ($statistics as $name => $value) {
        $pairs[] = $name . '=' . rawurlencode((string) $value);
    }
    $key = getenv('ATHENA_KEY');
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => ($key ? "Authorization: Bearer $key\r\n" : '') . "Content-Length: 0\r\nConnection: close\r\n",
        // A late report is worth nothing, and must not hold anybody up.
        'timeout' => $timeout,
        'follow_location' => 0,
        // A refusal has a body too, and the reason is in it.
        'ignore_errors' => true,
    ]]);
    $answer = @file_get_contents("$server/ath/update/phys/?" . implode(',', $pairs), false, $context, 0, 1024);
    if ($answer === false) {
        return "$server: " . (error_get_last()['message'] ?? 'no answer');
    }
    return trim($answer) === 'ok' ? null : trim($answer);
}

/** What there is to say. */
function statistics(): array
{
    // l: what the farm's formula looks at unless it says otherwise
    $statistics = ['l' => sys_getloadavg()[0]];
    $status = getenv('FPM_STATUS');
    if ($status) {
        $context = stream_context_create(['http' => ['timeout' => 2.0]]);
        $pool = json_decode(@file_get_contents($status, false, $context) ?: 'null', true);
        if (is_array($pool)) {
            $statistics['r'] = $pool['active processes'];
            $statistics['queue'] = $pool['listen queue'];
        }
    }
    return $statistics;
}

if ($argc < 2 || $argc > 3) {
    fwrite(STDERR, "usage: {$argv[0]} BACKEND [SECONDS]\n");
    exit(2);
}
[$backend, $every] = [$argv[1], (float) ($argv[2] ?? 2)];
$said = null;
while (true) {
    $problem = athena_report($backend, statistics());
    // One line when it begins, one when it is over.
    if ($problem !== $said) {
        fwrite(STDERR, $problem === null ? "athena: reports are taken again\n" : "athena: report refused: $problem\n");
        $said = $problem;
    }
    if ($every <= 0) {
        exit($problem === null ? 0 : 1);
    }
    usleep((int) ($every * 1e6));
}
