//! The berth allocation problem, solved greedily: each ship, in the order of arrival, takes the berth where it is done
//! first.

use serde_json::{Value, json};

/// Arrival, length of stay: in hours.
const SHIPS: [(&str, u32, u32); 6] =
    [("Anna", 0, 8), ("Boris", 1, 4), ("Cecilia", 2, 6), ("Dora", 3, 2), ("Emil", 6, 5), ("Flora", 7, 3)];

/// Berths, and how many percent of the usual time a ship stays there.
const BERTHS: [(&str, u32); 2] = [("north", 100), ("south", 150)];

/// Who lies where, from when until when.
pub(crate) fn allocated() -> Value {
    let mut free = BERTHS.map(|(name, slowness)| (name, slowness, 0));
    let mut plan = Vec::new();
    for (ship, arrival, stay) in SHIPS {
        let done = |(_, slowness, from): &(&str, u32, u32)| arrival.max(*from) + stay * slowness / 100;
        let Some(berth) = free.iter_mut().min_by_key(|berth| done(berth)) else { break };
        let (start, end) = (arrival.max(berth.2), done(berth));
        plan.push(json!({"ship": ship, "berth": berth.0, "from": start, "until": end}));
        berth.2 = end;
    }
    let makespan = free.iter().map(|(_, _, until)| *until).max();
    json!({"plan": plan, "makespan": makespan})
}

#[cfg(test)]
mod tests {
    use super::allocated;

    #[test]
    fn no_two_ships_lie_at_one_berth() {
        let result = allocated();
        let plan = result["plan"].as_array().expect("a plan");
        assert_eq!(plan.len(), 6);
        for (at, one) in plan.iter().enumerate() {
            for other in plan.iter().skip(at + 1).filter(|other| other["berth"] == one["berth"]) {
                assert!(one["until"].as_u64() <= other["from"].as_u64(), "{one} {other}");
            }
        }
    }
}
