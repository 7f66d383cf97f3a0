//! A farm's formula over statistics: what "load" means there.
//!
//! `+ - * / ^`, parentheses, `min max abs sqrt exp ln`, numbers and names of statistics. It is parsed once, into
//! postfix form, and worked out when a report arrives, never on a query. `^` binds tighter than a sign in front of it
//! (`-2^2` is −4) and groups to the right, as in mathematics.

use std::fmt;

use winnow::ascii::{float, multispace0};
use winnow::combinator::preceded;
use winnow::combinator::{
    Infix, Prefix, cut_err, delimited, dispatch, expression, fail, opt, peek, separated,
};
use winnow::error::{ContextError, ErrMode, StrContext, StrContextValue};
use winnow::prelude::*;
use winnow::token::{any, take_while};

use super::statistics::{StatisticName, Statistics};

/// Longest formula, in octets.
pub const MAX_FORMULA: usize = 1024;
/// Deepest nesting of parentheses and functions.
const MAX_DEPTH: usize = 32;
/// The functions, for messages.
pub const FUNCTIONS: [&str; 6] = ["min", "max", "abs", "sqrt", "exp", "ln"];

/// A parsed formula.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    text: Box<str>,
    steps: Box<[Step]>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Number(f64),
    Statistic(StatisticName),
    Weight,
    Negate,
    Binary(Binary),
    Unary(Unary),
    Fold(Fold, u8),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Unary {
    Abs,
    Sqrt,
    Exp,
    Ln,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fold {
    Min,
    Max,
}

/// Why a text is no formula.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormulaError {
    /// Nothing was given.
    #[error("a formula is empty")]
    Empty,
    /// More than [`MAX_FORMULA`] octets.
    #[error("a formula has at most {MAX_FORMULA} characters")]
    TooLong,
    /// Parentheses within parentheses within …
    #[error("a formula nests at most {MAX_DEPTH} deep")]
    TooDeep,
    /// It stops making sense.
    #[error("at character {column} ({rest:?}): {expected}")]
    Syntax {
        /// Where, counted from 1.
        column: usize,
        /// The text from there on, shortened.
        rest: String,
        /// What would be right there.
        expected: String,
    },
    /// A name that no report can bring.
    #[error("{name:?}: {why}")]
    Variable {
        /// The name.
        name: String,
        /// Why it cannot be a variable.
        why: &'static str,
    },
}

/// The outcome of a formula for one backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Worked<'a> {
    /// A finite load.
    Load(f64),
    /// This statistic was never reported.
    Missing(&'a StatisticName),
    /// The result is infinite or no number.
    NotFinite,
}

impl Default for Formula {
    /// `l`: the reported load itself.
    fn default() -> Self {
        let name = StatisticName::parse("l").expect("l is a name of a statistic");
        Self { text: "l".into(), steps: [Step::Statistic(name)].into() }
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Formula {
    /// Takes a formula as it was typed and refuses what the module's head does not describe.
    pub fn parse(text: &str) -> Result<Self, FormulaError> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(FormulaError::Empty);
        }
        if trimmed.len() > MAX_FORMULA {
            return Err(FormulaError::TooLong);
        }
        if depth(trimmed) > MAX_DEPTH {
            return Err(FormulaError::TooDeep);
        }
        let steps = formula.parse(trimmed).map_err(|error| {
            let at = error.char_span().start;
            let rest: String = trimmed.chars().skip(at).take(16).collect();
            FormulaError::Syntax { column: at + 1, rest, expected: expected(error.inner()) }
        })?;
        let steps = steps.into_iter().map(Token::resolve).collect::<Result<Box<[Step]>, _>>()?;
        Ok(Self { text: trimmed.into(), steps })
    }

    /// Whether it needs this statistic.
    pub fn uses(&self, name: &StatisticName) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Statistic(needed) if needed == name))
    }

    /// The statistics it needs, each once.
    pub fn statistics(&self) -> Vec<&StatisticName> {
        let mut names: Vec<_> = self
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Statistic(name) => Some(name),
                _ => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Works the formula out for a backend with these statistics and this weight.
    pub fn work_out(&self, statistics: &Statistics, weight: f64) -> Worked<'_> {
        // The usual formula is one name.
        if let [Step::Statistic(name)] = &*self.steps {
            return statistics.get(name.as_str()).map_or(Worked::Missing(name), Worked::Load);
        }
        let mut stack: Vec<f64> = Vec::with_capacity(16);
        for step in &self.steps {
            match step {
                Step::Number(number) => stack.push(*number),
                Step::Weight => stack.push(weight),
                Step::Statistic(name) => match statistics.get(name.as_str()) {
                    Some(value) => stack.push(value),
                    None => return Worked::Missing(name),
                },
                Step::Negate => apply(&mut stack, 1, |operands| -operands[0]),
                Step::Unary(unary) => apply(&mut stack, 1, |operands| unary.of(operands[0])),
                Step::Binary(binary) => apply(&mut stack, 2, |operands| binary.of(operands[0], operands[1])),
                Step::Fold(fold, count) => {
                    apply(&mut stack, usize::from(*count), |operands| fold.of(operands))
                }
            }
        }
        match stack.pop() {
            Some(load) if load.is_finite() => Worked::Load(load),
            _ => Worked::NotFinite,
        }
    }
}

/// Replaces the last `count` numbers of the stack by what `operation` makes of them.
fn apply(stack: &mut Vec<f64>, count: usize, operation: impl FnOnce(&[f64]) -> f64) {
    let start = stack.len() - count;
    let result = operation(&stack[start..]);
    stack.truncate(start);
    stack.push(result);
}

impl Binary {
    fn of(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Power => left.powf(right),
        }
    }
}

impl Unary {
    fn of(self, operand: f64) -> f64 {
        match self {
            Self::Abs => operand.abs(),
            Self::Sqrt => operand.sqrt(),
            Self::Exp => operand.exp(),
            Self::Ln => operand.ln(),
        }
    }
}

impl Fold {
    /// Not `f64::min`: that would hide an operand that is no number.
    fn of(self, operands: &[f64]) -> f64 {
        let better = |left: f64, right: f64| match self {
            _ if left.is_nan() || right.is_nan() => f64::NAN,
            Self::Min => left.min(right),
            Self::Max => left.max(right),
        };
        operands.iter().copied().reduce(better).unwrap_or(f64::NAN)
    }
}

/// A step before its name was looked up.
#[derive(Debug, Clone)]
enum Token {
    Step(Step),
    Name(String),
}

impl Token {
    fn resolve(self) -> Result<Step, FormulaError> {
        let name = match self {
            Self::Step(step) => return Ok(step),
            Self::Name(name) => name,
        };
        let why = match name.as_str() {
            "w" => return Ok(Step::Weight),
            "h" | "a" | "s" | "v" | "i" => "this code is a word, not a number",
            "p" => "a port says nothing of load",
            "t" | "d" => "this is 0 whenever a report arrives",
            "k" => "this is the access key",
            other => match StatisticName::parse(other) {
                Some(statistic) => return Ok(Step::Statistic(statistic)),
                None => "a statistic's name is [a-z][a-z0-9_]{0,31}",
            },
        };
        Err(FormulaError::Variable { name, why })
    }
}

/// How deep the parser's recursion will be: parentheses that are open, signs in a row, and powers.
fn depth(text: &str) -> usize {
    let (mut open, mut signs, mut powers, mut deepest) = (0usize, 0, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            b'-' | b'+' => signs += 1,
            b'^' => powers += 1,
            byte if byte.is_ascii_whitespace() => {}
            _ => signs = 0,
        }
        deepest = deepest.max(open + signs + powers);
    }
    deepest
}

type Steps = Vec<Token>;

fn formula(input: &mut &str) -> ModalResult<Steps> {
    delimited(multispace0, sum, multispace0).parse_next(input)
}

fn sum(input: &mut &str) -> ModalResult<Steps> {
    fn join(mut left: Steps, right: Steps, binary: Binary) -> Steps {
        left.extend(right);
        left.push(Token::Step(Step::Binary(binary)));
        left
    }
    fn negate(mut operand: Steps) -> Steps {
        operand.push(Token::Step(Step::Negate));
        operand
    }
    expression(delimited(multispace0, operand, multispace0))
        // Tried when there is no operand, so if it fails as well, something is wrong here.
        .prefix(cut_err(
            preceded(
                multispace0,
                dispatch! {any;
                    '-' => Prefix(30, |_: &mut _, operand| Ok(negate(operand))),
                    '+' => Prefix(30, |_: &mut _, operand| Ok(operand)),
                    _ => fail,
                },
            )
            .context(StrContext::Expected(StrContextValue::Description(OPERANDS))),
        ))
        .infix(dispatch! {any;
            '+' => Infix::Left(10, |_: &mut _, left, right| Ok(join(left, right, Binary::Add))),
            '-' => Infix::Left(10, |_: &mut _, left, right| Ok(join(left, right, Binary::Subtract))),
            '*' => Infix::Left(20, |_: &mut _, left, right| Ok(join(left, right, Binary::Multiply))),
            '/' => Infix::Left(20, |_: &mut _, left, right| Ok(join(left, right, Binary::Divide))),
            '^' => Infix::Right(40, |_: &mut _, left, right| Ok(join(left, right, Binary::Power))),
            _ => fail,
        })
        .parse_next(input)
}

const OPERANDS: &str = "a number, a statistic, a function or '('";

fn operand(input: &mut &str) -> ModalResult<Steps> {
    dispatch! {peek(any);
        '(' => delimited('(', cut_err(formula), close),
        '0'..='9' | '.' => float.map(|number: f64| vec![Token::Step(Step::Number(number))]),
        'a'..='z' | 'A'..='Z' | '_' => name_or_function,
        _ => fail,
    }
    .parse_next(input)
}

fn close(input: &mut &str) -> ModalResult<char> {
    cut_err(')').context(StrContext::Expected(StrContextValue::CharLiteral(')'))).parse_next(input)
}

fn name_or_function(input: &mut &str) -> ModalResult<Steps> {
    let name = take_while(1.., |character: char| character.is_ascii_alphanumeric() || character == '_')
        .parse_next(input)?;
    if opt(preceded(multispace0, '(')).parse_next(input)?.is_none() {
        return Ok(vec![Token::Name(name.to_owned())]);
    }
    let (function, most) = match name {
        "min" => (None, 16),
        "max" => (None, 16),
        "abs" => (Some(Unary::Abs), 1),
        "sqrt" => (Some(Unary::Sqrt), 1),
        "exp" => (Some(Unary::Exp), 1),
        "ln" => (Some(Unary::Ln), 1),
        _ => {
            let mut error = ContextError::new();
            error.push(StrContext::Expected(StrContextValue::Description(
                "one of the functions min max abs sqrt exp ln",
            )));
            return Err(ErrMode::Cut(error));
        }
    };
    let arguments: Vec<Steps> = cut_err(separated(1..=most, formula, ',')).parse_next(input)?;
    close(input)?;
    let count = arguments.len() as u8;
    let mut steps: Steps = arguments.into_iter().flatten().collect();
    steps.push(Token::Step(match (function, name) {
        (Some(unary), _) => Step::Unary(unary),
        (None, "min") => Step::Fold(Fold::Min, count),
        (None, _) => Step::Fold(Fold::Max, count),
    }));
    Ok(steps)
}

fn expected(error: &ContextError) -> String {
    let mut parts = error.context().filter_map(|context| match context {
        StrContext::Expected(value) => Some(value.to_string()),
        _ => None,
    });
    match parts.next() {
        Some(first) => format!("expected {first}"),
        None => "expected an operator or the end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::statistics::Amount;
    use super::*;

    fn statistics(pairs: &[(&str, f64)]) -> Statistics {
        let mut statistics = Statistics::default();
        for (name, value) in pairs {
            statistics.change(&StatisticName::parse(name).unwrap(), Amount::Set(*value));
        }
        statistics
    }

    fn value(text: &str) -> f64 {
        let reported = statistics(&[("l", 2.0), ("u", 0.5), ("queue", 100.0), ("c", 3.0)]);
        match Formula::parse(text).unwrap().work_out(&reported, 4.0) {
            Worked::Load(load) => load,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn formulas_mean_what_mathematics_means() {
        for (text, expected) in [
            ("l", 2.0),
            ("0.7*u + 0.3*queue/50", 0.95),
            ("1 + 2 * 3", 7.0),
            ("(1+2)*3", 9.0),
            ("2 - 3 - 4", -5.0),
            ("24 / 4 / 2", 3.0),
            ("2^3^2", 512.0),
            ("-2^2", -4.0),
            ("2^-1", 0.5),
            ("--2", 2.0),
            ("- ( 1 ) + 3", 2.0),
            ("min(l, u, c)", 0.5),
            ("max ( l , queue )", 100.0),
            ("sqrt(queue) + abs(-3)", 13.0),
            ("ln(exp(1))", 1.0),
            ("1e3*.5", 500.0),
            ("queue / w", 25.0),
            ("maximum_is_a_name*0 + 1", f64::NAN),
        ] {
            if expected.is_nan() {
                let formula = Formula::parse(text).unwrap();
                assert!(matches!(formula.work_out(&statistics(&[]), 1.0), Worked::Missing(_)), "{text}");
            } else {
                assert!((value(text) - expected).abs() < 1e-12, "{text} = {}", value(text));
            }
        }
    }

    #[test]
    fn a_missing_statistic_is_named_and_a_result_that_is_not_finite_is_known_as_such() {
        let formula = Formula::parse("l / queue").unwrap();
        let missing = formula.work_out(&statistics(&[("l", 1.0)]), 1.0);
        assert_eq!(missing, Worked::Missing(&StatisticName::parse("queue").unwrap()));
        let by_zero = formula.work_out(&statistics(&[("l", 1.0), ("queue", 0.0)]), 1.0);
        assert_eq!(by_zero, Worked::NotFinite);
        let root = Formula::parse("max(1, sqrt(0 - l))").unwrap();
        assert_eq!(root.work_out(&statistics(&[("l", 1.0)]), 1.0), Worked::NotFinite);
    }

    #[test]
    fn statistics_are_listed_once() {
        let formula = Formula::parse("c + l*c + min(l, w)").unwrap();
        let names: Vec<_> = formula.statistics().into_iter().map(StatisticName::as_str).collect();
        assert_eq!(names, ["c", "l"]);
    }

    #[test]
    fn errors_say_where_and_what_would_be_right() {
        for (text, expected) in [
            ("", "a formula is empty"),
            ("l +", "at character 4 (\"\"): expected a number, a statistic, a function or '('"),
            ("(l", "at character 3 (\"\"): expected `)`"),
            ("l l", "at character 3 (\"l\"): expected an operator or the end"),
            ("sin(l)", "at character 5 (\"l)\"): expected one of the functions min max abs sqrt exp ln"),
            ("abs(l, c)", "at character 6 (\", c)\"): expected `)`"),
            ("Load", "\"Load\": a statistic's name is [a-z][a-z0-9_]{0,31}"),
            ("l + h", "\"h\": this code is a word, not a number"),
            ("t", "\"t\": this is 0 whenever a report arrives"),
        ] {
            assert_eq!(Formula::parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn nesting_and_length_are_limited_so_that_the_parser_cannot_be_exhausted() {
        let deep = format!("{}l{}", "(".repeat(500), ")".repeat(500));
        assert_eq!(Formula::parse(&deep), Err(FormulaError::TooDeep));
        assert_eq!(Formula::parse(&"-".repeat(1000)), Err(FormulaError::TooDeep));
        assert_eq!(Formula::parse(&"1^".repeat(400)), Err(FormulaError::TooDeep));
        assert_eq!(Formula::parse(&"l+".repeat(2000)), Err(FormulaError::TooLong));
        assert!(Formula::parse(&format!("{}l", "l+".repeat(500))).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = Formula::parse(&text);
        }

        #[test]
        fn what_looks_like_a_formula_does_not_panic_either(text in "[-+*/^(),.a-c0-2 minx]{0,60}") {
            if let Ok(formula) = Formula::parse(&text) {
                let _ = formula.work_out(&statistics(&[("b", 1e300), ("c", -1.0), ("n", 0.0)]), 1.0);
            }
        }
    }
}
