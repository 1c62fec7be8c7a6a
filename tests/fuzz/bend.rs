//! Bends bytes: what transmission, other programs and people who mean harm make of them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// The longest that bending makes anything: far above every limit that is tested.
const MOST_BYTES: usize = 4 << 20;

/// One change.
#[derive(Clone, Debug)]
pub enum Bend {
    Flip(Index, u8),
    Set(Index, u8),
    Number(Index, i32),
    Cut(Index),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize, usize),
    Copy(Index, Index, usize),
}

/// One to five changes.
pub fn bends() -> impl Strategy<Value = Vec<Bend>> {
    vec(bend(), 1..6)
}

fn bend() -> impl Strategy<Value = Bend> {
    let at = any::<Index>;
    let byte = prop_oneof![
        Just(0),
        Just(1),
        Just(0x7f),
        Just(0x80),
        Just(0xff),
        any::<u8>()
    ];
    let number = prop_oneof![
        Just(-1),
        Just(0),
        Just(1),
        Just(i32::MAX),
        Just(i32::MIN),
        Just(0x7fff),
        Just(-2),
        -1_000..1_000_i32
    ];
    prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Bend::Flip(at, bit)),
        4 => (at(), byte).prop_map(|(at, byte)| Bend::Set(at, byte)),
        4 => (at(), number).prop_map(|(at, number)| Bend::Number(at, number)),
        1 => at().prop_map(Bend::Cut),
        2 => (at(), 1..40_usize).prop_map(|(at, length)| Bend::Remove(at, length)),
        2 => (at(), vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Bend::Insert(at, bytes)),
        1 => (at(), 1..20_usize, 1..20_000_usize)
            .prop_map(|(at, length, times)| Bend::Repeat(at, length, times)),
        2 => (at(), at(), 1..60_usize).prop_map(|(from, to, length)| Bend::Copy(from, to, length)),
    ]
}

/// Bends `bytes`.
pub fn bend_all(bytes: &mut Vec<u8>, bends: &[Bend]) {
    for bend in bends {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        let slice = |at: usize, most: usize| at..length.min(at.saturating_add(most));
        match bend {
            Bend::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Bend::Set(at, byte) => bytes[at.index(length)] = *byte,
            Bend::Number(at, number) => {
                let at = at.index(length);
                for (byte, new) in bytes[at..].iter_mut().zip(number.to_be_bytes()) {
                    *byte = new;
                }
            }
            Bend::Cut(at) => bytes.truncate(at.index(length)),
            Bend::Remove(at, most) => drop(bytes.drain(slice(at.index(length), *most))),
            Bend::Insert(at, new) => {
                let at = at.index(length);
                bytes.splice(at..at, new.iter().copied());
            }
            Bend::Repeat(at, most, times) => {
                let at = at.index(length);
                let part = bytes[slice(at, *most)].to_vec();
                let times = (*times).min(MOST_BYTES.saturating_sub(length) / part.len());
                bytes.splice(at..at, part.repeat(times));
            }
            Bend::Copy(from, to, most) => {
                let part = bytes[slice(from.index(length), *most)].to_vec();
                let to = to.index(length);
                bytes.splice(to..to, part);
            }
        }
    }
}

/// The same of a text; what is no text any more becomes one.
pub fn bend_text(text: &str, bends: &[Bend]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bend_all(&mut bytes, bends);
    String::from_utf8_lossy(&bytes).into_owned()
}
