//! Certificates and keys out of PEM files: PKCS#8, PKCS#1 and SEC1 keys, encrypted PKCS#8 with a
//! password. Whether they fit together is not judged here.

use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::credentials::{Content, Secret};

/// The label of an encrypted key's PEM block.
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// All certificates of a file, in its order; at least one.
///
/// # Errors
/// A sentence, when there is none or one cannot be read.
pub fn certificates(file: &Content<'_>) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = file.path.display();
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file.bytes).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("{path} holds no certificate: it has to be PEM"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("{path} cannot be read as PEM: {error}")),
    }
}

/// The private key of a file.
///
/// # Errors
/// A sentence, when there is none, it is encrypted and `password` is missing or wrong, or it is
/// encrypted in a way that is not known here.
pub fn private_key(
    file: &Content<'_>,
    password: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, String> {
    let path = file.path.display();
    let text = String::from_utf8_lossy(file.bytes);
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(format!(
            "{path} is encrypted in OpenSSL's old format, which is not supported: \
             `openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW` makes one that is"
        ));
    }
    if let Some(begin) = text.find(&format!("-----BEGIN {ENCRYPTED}-----")) {
        let Some(password) = password else {
            return Err(format!("{path} is encrypted: give keyPasswordFile"));
        };
        return decrypted(text.get(begin..).unwrap_or_default(), password)
            .map_err(|why| format!("{path} cannot be decrypted: {why}"));
    }
    PrivateKeyDer::from_pem_slice(file.bytes).map_err(|error| {
        format!("{path} holds no private key that can be read ({error}): it has to be PEM")
    })
}

fn decrypted(text: &str, password: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let end = format!("-----END {ENCRYPTED}-----");
    let length = text.find(&end).map(|at| at + end.len());
    let block = length.and_then(|length| text.get(..length));
    let block = block.ok_or("its end is missing")?;
    let (_, document) = SecretDocument::from_pem(block).map_err(|error| error.to_string())?;
    let key = EncryptedPrivateKeyInfo::try_from(document.as_bytes())
        .map_err(|error| format!("its encryption is not known here ({error})"))?;
    let key = key.decrypt(password.expose()).map_err(
        |_| "the password in keyPasswordFile is wrong, or its encryption is not known here",
    )?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}
