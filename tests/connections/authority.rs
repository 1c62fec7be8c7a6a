//! Certificates of a small authority, as PEM files in a folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// An authority whose certificates lie in `folder`.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    name: String,
}

/// When a certificate holds.
#[derive(Clone, Copy)]
pub enum Dates {
    Now,
    Past,
    Future,
    /// It ends in six days and a half.
    Soon,
}

/// Where a certificate's files lie.
#[derive(Clone, Debug)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Both in one file, as Kafka wants its keystores.
    pub both: PathBuf,
}

// === impl Authority ===

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            folder: folder.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join(format!("{}.crt", self.name))
    }

    /// A certificate for `host`, in files called `name`.
    pub fn server(&self, name: &str, host: &str, dates: Dates) -> Pair {
        self.issue(name, &[host], dates, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client called `name`.
    pub fn client(&self, name: &str, dates: Dates) -> Pair {
        self.issue(name, &[], dates, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        name: &str,
        hosts: &[&str],
        dates: Dates,
        usage: ExtendedKeyUsagePurpose,
    ) -> Pair {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        (params.not_before, params.not_after) = match dates {
            Dates::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2090, 1, 1)),
            Dates::Past => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Dates::Future => (date_time_ymd(2080, 1, 1), date_time_ymd(2090, 1, 1)),
            Dates::Soon => {
                let ends = evenkeel_scaler::clock::wall() + Duration::from_secs(561_600);
                (date_time_ymd(2020, 1, 1), date_time_ymd(1970, 1, 1) + ends)
            }
        };
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |ending: &str| self.folder.join(format!("{name}.{ending}"));
        let pair = Pair {
            cert: file("crt"),
            key: file("key"),
            both: file("pem"),
        };
        std::fs::write(&pair.cert, certificate.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        let both = format!("{}{}", key.serialize_pem(), certificate.pem());
        std::fs::write(&pair.both, both).unwrap();
        pair
    }
}
