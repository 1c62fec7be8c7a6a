//! SCRAM (RFC 5802, RFC 7677): the three messages of a client, without channel binding.
//!
//! Names and passwords go in as they are: Kafka does not apply SASLprep either.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SecureRandom as _;
use ring::{digest, hmac, pbkdf2, rand};
use zeroize::Zeroizing;

/// The fewest rounds that the standard allows: fewer would ease guessing by whoever asks.
const MIN_ITERATIONS: u32 = 4_096;
/// The most that are done for a server. Kafka itself allows 16,384.
const MAX_ITERATIONS: u32 = 1_000_000;
/// Bytes of chance in the nonce.
const NONCE_BYTES: usize = 24;
/// The header that says: no channel binding, no other identity.
const GS2: &str = "n,,";

/// Which hash it is over.
#[derive(Clone, Copy, Debug)]
pub enum Digest {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

/// An exchange that has begun.
#[derive(Debug)]
pub struct Scram {
    digest: Digest,
    nonce: String,
    bare: String,
}

/// The client's last message, and what the server has to answer.
pub struct Proof {
    /// To be sent.
    pub message: String,
    expected: hmac::Tag,
}

// === impl Scram ===

impl Scram {
    /// Begins an exchange for `username`.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(digest: Digest, username: &str) -> Result<Self, String> {
        let mut bytes = [0; NONCE_BYTES];
        rand::SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| "the system has no randomness".to_owned())?;
        Ok(Self::with_nonce(
            digest,
            username,
            BASE64_STANDARD.encode(bytes),
        ))
    }

    fn with_nonce(digest: Digest, username: &str, nonce: String) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={name},r={nonce}");
        Self {
            digest,
            nonce,
            bare,
        }
    }

    /// The client's first message.
    pub fn first(&self) -> String {
        format!("{GS2}{}", self.bare)
    }

    /// The client's last message, from the server's first and the password. Takes milliseconds.
    ///
    /// # Errors
    /// A sentence, when the server's message breaks the rules.
    pub fn prove(&self, challenge: &[u8], password: &str) -> Result<Proof, String> {
        let odd = |what: &str| format!("its SCRAM challenge {what}");
        let challenge = std::str::from_utf8(challenge).map_err(|_| odd("is no text"))?;
        let field = |name: &str| {
            let mut fields = challenge.split(',');
            fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let nonce = field("r").ok_or_else(|| odd("has no nonce"))?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(odd("is not an answer to what was sent"));
        }
        let salt = field("s").and_then(|salt| BASE64_STANDARD.decode(salt).ok());
        let salt = salt.ok_or_else(|| odd("has no salt"))?;
        let iterations: u32 = field("i")
            .and_then(|count| count.parse().ok())
            .filter(|count| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(count))
            .ok_or_else(|| {
                odd(&format!(
                    "asks for fewer than {MIN_ITERATIONS} or more than {MAX_ITERATIONS} iterations"
                ))
            })?;
        let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);

        let (derivation, mac, hash) = match self.digest {
            Digest::Sha256 => (
                pbkdf2::PBKDF2_HMAC_SHA256,
                hmac::HMAC_SHA256,
                &digest::SHA256,
            ),
            Digest::Sha512 => (
                pbkdf2::PBKDF2_HMAC_SHA512,
                hmac::HMAC_SHA512,
                &digest::SHA512,
            ),
        };
        let mut salted = Zeroizing::new(vec![0; hash.output_len()]);
        pbkdf2::derive(
            derivation,
            iterations,
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        let salted = hmac::Key::new(mac, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(hash, client_key.as_ref());

        let binding = BASE64_STANDARD.encode(GS2);
        let without_proof = format!("c={binding},r={nonce}");
        let signed = format!("{},{challenge},{without_proof}", self.bare);
        let signature = hmac::sign(&hmac::Key::new(mac, stored_key.as_ref()), signed.as_bytes());
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(key, signature)| key ^ signature)
            .collect();
        let server_key = hmac::sign(&salted, b"Server Key");
        let expected = hmac::sign(&hmac::Key::new(mac, server_key.as_ref()), signed.as_bytes());
        Ok(Proof {
            message: format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)),
            expected,
        })
    }
}

// === impl Proof ===

impl Proof {
    /// Whether the server knows the password as well, by its last message.
    ///
    /// # Errors
    /// A sentence, when it does not.
    pub fn check(&self, verdict: &[u8]) -> Result<(), String> {
        let signature = std::str::from_utf8(verdict)
            .ok()
            .and_then(|verdict| verdict.split(',').next()?.strip_prefix("v="))
            .and_then(|signature| BASE64_STANDARD.decode(signature).ok());
        match signature {
            Some(signature) if signature == self.expected.as_ref() => Ok(()),
            _ => Err(
                "it does not prove that it knows the password: it is probably not the broker \
                      it should be"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3.
    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn exchange() -> Scram {
        Scram::with_nonce(Digest::Sha256, "user", "rOprNGfwEbeRWgbNEkqO".to_owned())
    }

    #[test]
    fn the_standards_own_example_comes_out() {
        let scram = exchange();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let proof = scram.prove(CHALLENGE.as_bytes(), "pencil").unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        proof
            .check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
            .unwrap();
        for wrong in [
            "v=AAAA",
            "e=other-error",
            "",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=",
        ] {
            let _sentence = proof.check(wrong.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn a_challenge_that_breaks_the_rules_is_refused() {
        for (challenge, why) in [
            ("", "no nonce"),
            ("r=other,s=AAAA,i=4096", "not an answer"),
            ("r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096", "not an answer"),
            ("r=rOprNGfwEbeRWgbNEkqOx,i=4096", "no salt"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096", "no salt"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=1", "iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4294967295", "iterations"),
        ] {
            let error = exchange().prove(challenge.as_bytes(), "pencil").err();
            assert!(
                error.is_some_and(|error| error.contains(why)),
                "{challenge}"
            );
        }
    }

    #[test]
    fn separators_in_a_name_are_written_out() {
        let scram = Scram::with_nonce(Digest::Sha512, "a,b=c", "x".to_owned());
        assert_eq!(scram.first(), "n,,n=a=2Cb=3Dc,r=x");
    }
}
