//! Secrets at rest: sealed with the operator's key, bound to where they stand.
//!
//! AES-256-GCM-SIV under a key derived for each tenant; the associated data names the field, so
//! that a sealed value moved to another row does not open.

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::id::TenantId;
use sha2::{Digest, Sha256};

use crate::error::{Class, Error, Fault};
use crate::random::Random;

const NONCE_BYTES: usize = 12;

/// The operator's key, or none: then nothing can be sealed.
#[derive(Clone)]
pub struct Seal {
    master: Option<[u8; 32]>,
}

impl Seal {
    /// Reads 32 bytes of base64.
    pub fn parse(text: &str) -> Result<Seal, Error> {
        let bytes = STANDARD.decode(text.trim()).ok();
        let master = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        match master {
            Some(master) => Ok(Seal { master: Some(master) }),
            None => Err(Error::invalid(
                "FAREBOX_ENCRYPTION_KEY",
                "must be 32 bytes in base64; make one with `openssl rand -base64 32`",
            )),
        }
    }

    pub fn none() -> Seal {
        Seal { master: None }
    }

    fn cipher(&self, tenant: TenantId) -> Result<Aes256GcmSiv, Error> {
        let Some(master) = &self.master else {
            let message = "a secret cannot be stored without FAREBOX_ENCRYPTION_KEY; set it to 32 \
                bytes in base64 and start again";
            return Err(Fault::new(Class::Invalid, "invalid_operation", message).into());
        };
        let mut hasher = Sha256::new();
        hasher.update(b"farebox tenant key 1");
        hasher.update(master);
        hasher.update(tenant.0.to_bytes());
        let key: [u8; 32] = hasher.finalize().into();
        Ok(Aes256GcmSiv::new(&key.into()))
    }

    /// The key that tokens of links are derived with. Without an operator's key they are still
    /// unguessable, because their seeds are random.
    pub fn token_key(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(b"farebox link tokens 1");
        hasher.update(self.master.unwrap_or_default());
        hasher.finalize().into()
    }

    /// `place` names table, field and id of what is sealed.
    pub fn seal(
        &self,
        random: &Random,
        tenant: TenantId,
        place: &str,
        secret: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let nonce: [u8; NONCE_BYTES] = random.bytes();
        let payload = Payload { msg: secret, aad: place.as_bytes() };
        let sealed = self
            .cipher(tenant)?
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| Error::operation("the secret is too long to seal"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    pub fn open(&self, tenant: TenantId, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let wrong = || {
            Error::operation(
                "a stored secret does not open with FAREBOX_ENCRYPTION_KEY; it was sealed with \
                 another key",
            )
        };
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(wrong)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        self.cipher(tenant)?.decrypt(&Nonce::from(*nonce), payload).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_where_it_was_sealed() {
        let seal = Seal::parse(&STANDARD.encode([7; 32])).unwrap();
        let (random, tenant) = (Random::seeded(1), TenantId::default());
        let sealed = seal.seal(&random, tenant, "receivers.secret:1", b"whsec").unwrap();
        assert_eq!(seal.open(tenant, "receivers.secret:1", &sealed).unwrap(), b"whsec");
        assert!(seal.open(tenant, "receivers.secret:2", &sealed).is_err());
        assert!(Seal::none().seal(&random, tenant, "x", b"s").is_err());
        assert!(Seal::parse("short").is_err());
    }
}
