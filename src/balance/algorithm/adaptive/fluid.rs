//! What a load becomes if work comes and goes evenly: the prediction that hypotheses are judged by.

/// The load after `span` seconds from `load` on, when `inflow` comes in a second and `rate` × min(1, load / knee) goes.
/// All arguments are finite and not negative, `rate` and `knee` greater than 0.
pub fn after(load: f64, inflow: f64, rate: f64, knee: f64, span: f64) -> f64 {
    let net = inflow - rate;
    if load >= knee {
        let end = load + net * span;
        if end >= knee {
            return end;
        }
        return below(knee, inflow, rate / knee, span - (load - knee) / -net);
    }
    let relaxation = rate / knee;
    let rest = inflow / relaxation;
    if rest > knee {
        // It rises through the knee, if there is time.
        let reach = ((rest - load) / (rest - knee)).ln() / relaxation;
        if reach < span {
            return knee + net * (span - reach);
        }
    }
    below(load, inflow, relaxation, span)
}

/// Below the knee the load relaxes to its rest exponentially.
fn below(load: f64, inflow: f64, relaxation: f64, span: f64) -> f64 {
    let rest = inflow / relaxation;
    rest + (load - rest) * (-relaxation * span).exp()
}

#[cfg(test)]
mod tests {
    use super::after;

    /// The same by small steps.
    fn stepped(mut load: f64, inflow: f64, rate: f64, knee: f64, span: f64) -> f64 {
        let steps = 200_000;
        for _ in 0..steps {
            load += (inflow - rate * (load / knee).min(1.0)) * span / f64::from(steps);
        }
        load
    }

    #[test]
    fn the_closed_form_is_what_small_steps_give() {
        for load in [0.0, 0.5, 1.0, 3.0, 20.0] {
            for inflow in [0.0, 0.6, 1.0, 1.7] {
                for (rate, knee) in [(1.0, 1.0), (1.3, 4.0)] {
                    for span in [0.1, 2.0, 30.0] {
                        let (exact, steps) =
                            (after(load, inflow, rate, knee, span), stepped(load, inflow, rate, knee, span));
                        assert!(
                            (exact - steps).abs() < 1e-3 * (1.0 + steps),
                            "{load} {inflow} {rate} {knee} {span}: {exact} {steps}"
                        );
                    }
                }
            }
        }
    }
}
