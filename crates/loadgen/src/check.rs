//! The check of an answer: a 64-bit hash of its bytes.

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

/// XXH64 with seed 0 (the algorithm of the xxHash specification, doc/xxhash_spec.md). It takes 1-2 µs for 8 kB, so that it can
/// run between two sends; it is no protection against somebody who constructs collisions.
pub fn check(bytes: &[u8]) -> u64 {
    let (stripes, mut rest) = bytes.split_at(bytes.len() / 32 * 32);
    let mut hash = if stripes.is_empty() { P5 } else { lanes(stripes) };
    hash = hash.wrapping_add(bytes.len() as u64);
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        hash ^= round(0, u64::from_le_bytes(*word));
        hash = hash.rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
        rest = after;
    }
    if let Some((word, after)) = rest.split_first_chunk::<4>() {
        hash ^= u64::from(u32::from_le_bytes(*word)).wrapping_mul(P1);
        hash = hash.rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = after;
    }
    for &byte in rest {
        hash ^= u64::from(byte).wrapping_mul(P5);
        hash = hash.rotate_left(11).wrapping_mul(P1);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(P2);
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(P3);
    hash ^ (hash >> 32)
}

fn lanes(stripes: &[u8]) -> u64 {
    let mut lanes = [P1.wrapping_add(P2), P2, 0, 0_u64.wrapping_sub(P1)];
    for stripe in stripes.chunks_exact(32) {
        for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }
    let mut hash =
        lanes.iter().zip([1, 7, 12, 18]).fold(0_u64, |hash, (lane, turn)| hash.wrapping_add(lane.rotate_left(turn)));
    for lane in lanes {
        hash = (hash ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
    }
    hash
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known values of XXH64 at seed 0.
    #[test]
    fn agrees_with_the_specification() {
        assert_eq!(check(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(check(b"a"), 0xD24E_C4F1_A98C_6E5B);
        assert_eq!(check(b"abc"), 0x44BC_2CF5_AD77_0999);
        assert_eq!(check(b"Nobody inspects the spammish repetition"), 0xFBCE_A83C_8A37_8BF1);
    }

    #[test]
    fn every_byte_counts() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in [1, 7, 31, 32, 33, 64, 71, 255] {
            let whole = check(&bytes[..length]);
            for index in 0..length {
                let mut other = bytes[..length].to_vec();
                other[index] ^= 1;
                assert_ne!(check(&other), whole);
            }
        }
    }
}
