//! Counter-based random numbers: the same on every device, in any order.
//!
//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): element `i` of stream `s` under
//! a seed is a pure function of the three.

use crate::real::single::{self, Rounded};

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Four random words for element `index` of a stream.
///
/// The counter is (index low, index high, stream low, stream high), the key is (seed low, seed high).
#[inline(always)]
pub fn philox(seed: u64, stream: u64, index: u64) -> [u32; 4] {
    let mut counter = [index as u32, (index >> 32) as u32, stream as u32, (stream >> 32) as u32];
    let mut key = [seed as u32, (seed >> 32) as u32];
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let a = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let b = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
    }
    counter
}

/// A float in [0, 1): the upper 24 bits of word 0.
#[inline(always)]
pub fn uniform_f32(words: &[u32; 4]) -> f32 {
    (words[0] >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// A float in [0, 1) with 53 random bits.
#[inline(always)]
pub fn uniform_f64(words: &[u32; 4]) -> f64 {
    let bits = (u64::from(words[1]) << 32 | u64::from(words[0])) >> 11;
    bits as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// A standard normal float, by Box and Muller from words 0 and 1.
#[inline(always)]
pub fn normal_f32(words: &[u32; 4]) -> f32 {
    let radius = ((words[0] >> 8) + 1) as f32 * (1.0 / 16_777_216.0);
    let turn = (words[1] >> 8) as f32 * (1.0 / 16_777_216.0);
    (-2.0 * single::ln::<Rounded>(radius)).sqrt() * single::cos_of_turn::<Rounded>(turn)
}

/// A standard normal float, by Box and Muller from words 0 and 1.
#[inline(always)]
pub fn normal_f64(words: &[u32; 4]) -> f64 {
    let radius = (f64::from(words[0]) + 1.0) / 4_294_967_296.0;
    let angle = f64::from(words[1]) / 4_294_967_296.0;
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with Random123 for philox4x32, 10 rounds.
    #[test]
    fn known_answers() {
        assert_eq!(philox(0, 0, 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox(u64::MAX, u64::MAX, u64::MAX), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = philox(0x299f_31d0_a409_3822, 0x0370_7344_1319_8a2e, 0x85a3_08d3_243f_6a88);
        assert_eq!(pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn moments() {
        let n = 20_000;
        let normals: Vec<f64> = (0..n).map(|i| f64::from(normal_f32(&philox(7, 3, i)))).collect();
        let mean = normals.iter().sum::<f64>() / n as f64;
        let variance = normals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "mean {mean}, variance {variance}");
    }
}
