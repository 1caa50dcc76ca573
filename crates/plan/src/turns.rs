//! Which buffers serve what needs memory, one after the other.

use std::cmp::Reverse;
use std::ops::RangeInclusive;

/// Something that needs memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// How much.
    pub bytes: usize,
    /// From which step to which.
    pub steps: RangeInclusive<usize>,
    /// The largest buffer that it may lie in: what it does not fill is lost while it is there. 0 where it has a buffer of
    /// its own already, which may serve others before and after it.
    pub most: usize,
}

/// A buffer, and when it serves somebody, in order.
struct Buffer {
    bytes: usize,
    times: Vec<RangeInclusive<usize>>,
}

/// The bytes of the buffers that serve all, and which of them each need gets: nobody shares one while it is needed.
///
/// Largest first, each goes to a buffer that is free while it is needed, to the one that waits the shortest time for it or
/// after it ("greedy by size improved" in Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference",
/// 2020).
pub fn take_turns(needs: &[Need]) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&need| (Reverse(needs[need].bytes), needs[need].most > 0));
    let mut buffers: Vec<Buffer> = Vec::new();
    let mut places = vec![0; needs.len()];
    for number in order {
        let Need { bytes, steps, most } = &needs[number];
        // Buffers come in order of their bytes.
        let fitting = buffers.partition_point(|buffer| buffer.bytes > *most);
        let gaps = (fitting..buffers.len()).filter_map(|buffer| Some((buffers[buffer].gap(steps)?, buffer)));
        places[number] = match gaps.min() {
            Some((_, buffer)) => buffer,
            None => {
                buffers.push(Buffer { bytes: *bytes, times: Vec::new() });
                buffers.len() - 1
            }
        };
        buffers[places[number]].serve(steps);
    }
    (buffers.into_iter().map(|buffer| buffer.bytes).collect(), places)
}

impl Buffer {
    /// How long it waits before or after these steps, whichever is shorter; `None` where it serves somebody else then.
    fn gap(&self, steps: &RangeInclusive<usize>) -> Option<usize> {
        let next = self.times.partition_point(|time| time.end() < steps.start());
        let before = next.checked_sub(1).map(|last| steps.start() - self.times[last].end());
        let after = match self.times.get(next) {
            None => None,
            Some(time) => Some(time.start().checked_sub(*steps.end()).filter(|&gap| gap > 0)?),
        };
        before.into_iter().chain(after).min()
    }

    fn serve(&mut self, steps: &RangeInclusive<usize>) {
        let place = self.times.partition_point(|time| time.end() < steps.start());
        self.times.insert(place, steps.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(bytes: usize, steps: RangeInclusive<usize>) -> Need {
        Need { bytes, steps, most: 2 * bytes }
    }

    #[test]
    fn what_is_needed_at_different_times_shares() {
        let needs = [need(8, 0..=1), need(16, 1..=2), need(8, 2..=3), need(12, 3..=4)];
        assert_eq!(take_turns(&needs), (vec![16, 8], vec![1, 0, 1, 0]));
    }

    #[test]
    fn nothing_lies_in_more_than_it_may() {
        let needs = [need(17, 0..=0), need(8, 1..=1), need(9, 2..=2)];
        assert_eq!(take_turns(&needs), (vec![17, 8], vec![0, 1, 0]));
    }

    #[test]
    fn a_buffer_that_is_there_serves_others_and_takes_nobodys_place() {
        let there = |bytes, steps| Need { most: 0, ..need(bytes, steps) };
        let needs = [need(10, 0..=9), there(8, 0..=3), need(8, 3..=5), need(6, 4..=9), there(8, 0..=10)];
        assert_eq!(take_turns(&needs), (vec![10, 8, 8, 8], vec![0, 1, 3, 1, 2]));
    }

    #[test]
    fn the_shorter_wait_is_chosen() {
        let needs = [need(9, 0..=0), need(8, 0..=3), need(7, 5..=6)];
        assert_eq!(take_turns(&needs).1, [0, 1, 1]);
    }
}
