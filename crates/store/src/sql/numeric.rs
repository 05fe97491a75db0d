//! PostgreSQL's NUMERIC, whole numbers of up to 127 bits: four decimal digits to the group, the
//! highest first.

const BASE: u128 = 10_000;
const NEGATIVE: u16 = 0x4000;
/// Four numbers of two bytes before the groups.
const HEAD: usize = 8;

pub(super) fn write(number: i128, out: &mut Vec<u8>) {
    let mut groups: Vec<u16> = Vec::with_capacity(10);
    let mut rest = number.unsigned_abs();
    while rest > 0 {
        groups.push(u16::try_from(rest % BASE).unwrap_or(0));
        rest /= BASE;
    }
    let count = u16::try_from(groups.len()).unwrap_or(0);
    let sign = if number < 0 { NEGATIVE } else { 0 };
    for part in [count, count.saturating_sub(1), sign, 0] {
        out.extend_from_slice(&part.to_be_bytes());
    }
    for group in groups.iter().rev() {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// `None` where it is no whole number, or one of more bits.
pub(super) fn read(bytes: &[u8]) -> Option<i128> {
    let parts = bytes.chunks_exact(2).map(|pair| pair.try_into().map(u16::from_be_bytes));
    let parts: Vec<u16> = parts.collect::<Result<_, _>>().ok()?;
    let [count, weight, sign, _scale, groups @ ..] = parts.as_slice() else { return None };
    if bytes.len() != HEAD + 2 * usize::from(*count) || !matches!(*sign, 0 | NEGATIVE) {
        return None;
    }
    // Groups after the point may only be zeros, and those at the end may be left out.
    let whole = usize::from(weight.wrapping_add(1));
    if whole > 10 || groups.iter().skip(whole).any(|group| *group != 0) {
        return None;
    }
    let mut number = 0_i128;
    for place in 0..whole {
        let group = groups.get(place).copied().unwrap_or(0);
        number = number.checked_mul(10_000)?.checked_add(i128::from(group))?;
    }
    Some(if *sign == NEGATIVE { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_has_the_bytes_of_the_server() {
        // 12345678 is 1234·10⁴ + 5678; the server drops the zeros of 50000 = 5·10⁴.
        let table: [(i128, &[u16]); 4] = [
            (0, &[0, 0, 0, 0]),
            (12_345_678, &[2, 1, 0, 0, 1234, 5678]),
            (-7, &[1, 0, 0x4000, 0, 7]),
            (50_000, &[1, 1, 0, 0, 5]),
        ];
        for (number, parts) in table {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_be_bytes()).collect();
            assert_eq!(read(&bytes), Some(number));
        }
        assert_eq!(read(&[0, 1, 255, 255, 0, 0, 0, 4, 0, 5]), None, "0.0005 is not whole");
    }

    proptest! {
        #[test]
        fn every_digit_comes_back(number in -(10_i128.pow(37))..10_i128.pow(37)) {
            let mut bytes = Vec::new();
            write(number, &mut bytes);
            prop_assert_eq!(read(&bytes), Some(number));
        }
    }
}
