//! The one home of chance: the system's, or a seeded one for runs that must repeat byte for byte.

use domain::id::splitmix;
use parking_lot::Mutex;

/// Where random bytes come from.
#[derive(Debug)]
pub enum Random {
    System,
    /// Never for a server that keeps secrets.
    Seeded(Mutex<u64>),
}

impl Random {
    pub fn seeded(seed: u64) -> Random {
        Random::Seeded(Mutex::new(seed))
    }

    /// Fills `bytes`.
    ///
    /// # Panics
    /// Where the system has no chance to give: no secret can be made then.
    pub fn fill(&self, bytes: &mut [u8]) {
        match self {
            Random::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the home of chance")]
                let filled = getrandom::fill(bytes);
                #[expect(clippy::expect_used, reason = "a guessable secret is worse than a stop")]
                filled.expect("the system's source of chance works");
            }
            Random::Seeded(state) => {
                let mut state = state.lock();
                for chunk in bytes.chunks_mut(8) {
                    *state = splitmix(*state);
                    chunk.copy_from_slice(&state.to_be_bytes()[..chunk.len()]);
                }
            }
        }
    }

    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}
