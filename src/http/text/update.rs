//! `update/phys` and `update/farm`: a request made an [`Update`], or refused with the argument's name.
//!
//! Nothing here changes anything. The engine checks all updates of a GET once more against what exists, and carries out
//! all of them or none.

use super::Need;
use super::codes::{Coded, Farm as FarmCode, Phys, Use};
use super::query::Request;
use super::register;
use crate::balance::Name;
use crate::balance::statistics::{Amount, MAX_IN_A_REPORT, StatisticName};
use crate::balance::update::{Admin, BackendUpdate, FarmUpdate, Feed, Health, Switch, Update, WeightChange};
use crate::http::Options;
use crate::http::access::Class;
use crate::http::error::{Error, shown};

/// `update/phys/?h=app01,l=0.73,c=+1`: what it says about a backend, and the access it needs.
pub fn phys(mut request: Request<'_>) -> Result<(Update, Need), Error> {
    let name = request.take("h").ok_or_else(|| Error::argument("h", "names the backend, it is missing"))?;
    refuse_words(&request)?;
    let mut update = BackendUpdate::new(self::name("h", &name)?);
    // The argument that needs the strongest class names the refusal.
    let mut need = Need { class: Class::Update, argument: "h" };
    let mut admin = |argument| need = Need { class: Class::Admin, argument };
    for (argument, value) in request.arguments() {
        match Phys::argument(argument).map(|code| (code.field, code.update)) {
            Some((Phys::Admin, _)) => {
                admin("s");
                update.admin = Some(word(argument, value, Admin::parse, Admin::WORDS)?);
            }
            Some((Phys::Weight, _)) => {
                admin("w");
                update.weight = Some(weight(argument, value)?);
            }
            Some((Phys::Mark, _)) => {
                admin("V");
                update.mark = Some(word(argument, value, Health::parse, Health::WORDS)?);
            }
            Some((Phys::Health, _)) => {
                update.health = Some(word(argument, value, Health::parse, Health::WORDS)?)
            }
            Some((Phys::Feed, _)) => update.feed = Some(word(argument, value, Feed::parse, Feed::WORDS)?),
            Some((_, Use::ReadOnly | Use::Key)) => {
                return Err(Error::argument(argument, "cannot be updated"));
            }
            None if argument == "A" => register::said(&mut update).addresses = register::addresses(value)?,
            None if argument == "P" => register::said(&mut update).port = Some(register::port(value)?),
            Some((_, Use::Settable)) | None => {
                let statistic = StatisticName::parse(argument)
                    .ok_or_else(|| Error::argument(argument, "unknown argument"))?;
                if update.statistics.len() == MAX_IN_A_REPORT {
                    let problem = format!("a report has at most {MAX_IN_A_REPORT} statistics");
                    return Err(Error::argument(argument, problem));
                }
                update.statistics.push((statistic, amount(argument, value)?));
            }
        }
    }
    if !update.is_report() && !update.is_administrative() {
        let problem = "nothing is said about this backend (i=in is a report without figures)";
        return Err(Error::argument("h", problem));
    }
    Ok((Update::Backend(update), need))
}

/// `update/farm/?n=farm_one,s=off`: what it says about a farm.
pub fn farm(mut request: Request<'_>, options: &Options) -> Result<(Update, Need), Error> {
    let name = request.take("n").ok_or_else(|| Error::argument("n", "names the farm, it is missing"))?;
    refuse_words(&request)?;
    let mut update = FarmUpdate { farm: self::name("n", options.farm_name(&name))?, switch: None };
    for (argument, value) in request.arguments() {
        match FarmCode::argument(argument).map(|code| code.field) {
            Some(FarmCode::Switch) => {
                update.switch = Some(word(argument, value, Switch::parse, Switch::WORDS)?);
            }
            Some(_) => return Err(Error::argument(argument, "cannot be updated")),
            None => return Err(Error::argument(argument, "unknown argument")),
        }
    }
    if update.switch.is_none() {
        return Err(Error::argument("n", "nothing is said about this farm"));
    }
    Ok((Update::Farm(update), Need { class: Class::Admin, argument: "s" }))
}

fn refuse_words(request: &Request<'_>) -> Result<(), Error> {
    match request.word() {
        Some(word) => Err(Error::argument(word, "unknown argument")),
        None => Ok(()),
    }
}

fn name(argument: &str, text: &str) -> Result<Name, Error> {
    Name::parse(text).map_err(|error| match error {
        crate::balance::name::NameError::Empty => Error::argument(argument, "an empty name"),
        other => Error::argument(argument, other.to_string()),
    })
}

fn word<T>(argument: &str, value: &str, parse: fn(&str) -> Option<T>, words: &[&str]) -> Result<T, Error> {
    parse(value).ok_or_else(|| {
        let problem = format!("{:?} is none of {}", shown(value), words.join(", "));
        Error::argument(argument, problem)
    })
}

fn weight(argument: &str, value: &str) -> Result<WeightChange, Error> {
    match value {
        "default" => Ok(WeightChange::Configured),
        _ => number(argument, value).map(WeightChange::Override),
    }
}

/// A value, or with a sign what is to be added to the last one.
fn amount(argument: &str, value: &str) -> Result<Amount, Error> {
    let number = number(argument, value)?;
    Ok(if value.starts_with(['+', '-']) { Amount::Add(number) } else { Amount::Set(number) })
}

fn number(argument: &str, value: &str) -> Result<f64, Error> {
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(Error::argument(argument, format!("not a finite number: {:?}", shown(value)))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::query::QueryString;
    use super::*;

    fn parse(raw: &str) -> Result<(BackendUpdate, Need), Error> {
        let query = QueryString::new(raw)?;
        let request = query.requests(1).next().unwrap()?;
        phys(request).map(|(update, need)| match update {
            Update::Backend(update) => (update, need),
            Update::Farm(update) => panic!("{update:?}"),
        })
    }

    fn refusal(raw: &str) -> String {
        parse(raw).unwrap_err().to_string()
    }

    fn statistic(name: &str, amount: Amount) -> (StatisticName, Amount) {
        (StatisticName::parse(name).unwrap(), amount)
    }

    #[test]
    fn a_report_carries_statistics_in_the_order_given() {
        let (update, need) = parse("h=App01,l=0.73,c=42,queue=17").unwrap();
        assert_eq!(update.backend.as_str(), "app01");
        let expected = [("l", 0.73), ("c", 42.0), ("queue", 17.0)];
        assert_eq!(update.statistics, expected.map(|(name, value)| statistic(name, Amount::Set(value))));
        assert_eq!(need.class, Class::Update);
    }

    #[test]
    fn a_sign_adds() {
        let (update, _) = parse("h=app01,c=+1,r=-1,queue=%2B2").unwrap();
        let expected = [("c", 1.0), ("r", -1.0), ("queue", 2.0)];
        assert_eq!(update.statistics, expected.map(|(name, value)| statistic(name, Amount::Add(value))));
    }

    #[test]
    fn states_weights_and_marks_are_for_admins() {
        let (update, need) = parse("h=app01,l=1,s=drain,v=down,i=out").unwrap();
        assert_eq!((update.admin, update.health), (Some(Admin::Drain), Some(Health::Down)));
        assert_eq!((update.feed, need), (Some(Feed::Out), Need { class: Class::Admin, argument: "s" }));
        let (update, need) = parse("h=app01,w=default,l=2").unwrap();
        assert_eq!(update.weight, Some(WeightChange::Configured));
        assert_eq!(need, Need { class: Class::Admin, argument: "w" });
        assert_eq!(parse("h=app01,w=2.5").unwrap().0.weight, Some(WeightChange::Override(2.5)));
        let (update, need) = parse("h=app01,V=down").unwrap();
        assert_eq!((update.mark, need.class), (Some(Health::Down), Class::Admin));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refusal("l=1"), "h: names the backend, it is missing");
        assert_eq!(refusal("h=,l=1"), "h: an empty name");
        assert_eq!(
            refusal("h=app01"),
            "h: nothing is said about this backend (i=in is a report without figures)"
        );
        assert_eq!(refusal("h=app01,l=nan"), "l: not a finite number: \"nan\"");
        assert_eq!(refusal("h=app01,l=1e999"), "l: not a finite number: \"1e999\"");
        assert_eq!(refusal("h=app01,queue=,l=1"), "queue: not a finite number: \"\"");
        assert_eq!(refusal("h=app01,s=maybe"), "s: \"maybe\" is none of on, drain, off");
        assert_eq!(refusal("h=app01,v=ill"), "v: \"ill\" is none of up, down");
        assert_eq!(refusal("h=app01,Queue=1"), "Queue: unknown argument");
        assert_eq!(refusal("h=app01,app02"), "app02: unknown argument");
        for letter in ["a", "p", "t", "d", "N"] {
            assert_eq!(refusal(&format!("h=app01,{letter}=1")), format!("{letter}: cannot be updated"));
        }
        assert!(refusal("h=app_,l=1").starts_with("h: names hold letters"));
        let many: Vec<_> = (0..65).map(|index| format!("s{index}=1")).collect();
        assert_eq!(
            refusal(&format!("h=app01,{}", many.join(","))),
            "s64: a report has at most 64 statistics"
        );
    }

    #[test]
    fn a_farm_is_switched_by_its_name_with_or_without_zone() {
        let farm = |raw: &str| {
            let query = QueryString::new(raw).unwrap();
            super::farm(query.requests(1).next().unwrap().unwrap(), &Options::default())
        };
        let (update, need) = farm("n=Farm_One.athena.,s=off").unwrap();
        let name = Name::parse("farm_one").unwrap();
        assert_eq!(update, Update::Farm(FarmUpdate { farm: name, switch: Some(Switch::Off) }));
        assert_eq!(need.class, Class::Admin);
        let refusal = |raw: &str| farm(raw).unwrap_err().to_string();
        assert_eq!(refusal("s=off"), "n: names the farm, it is missing");
        assert_eq!(refusal("n=farm_one"), "n: nothing is said about this farm");
        assert_eq!(refusal("n=farm_one,s=drain"), "s: \"drain\" is none of on, off");
        assert_eq!(refusal("n=farm_one,g=random"), "g: cannot be updated");
        assert_eq!(refusal("n=farm_one,l=1"), "l: unknown argument");
    }
}
