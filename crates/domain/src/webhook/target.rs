//! The URL that a user gives: what is written, before any name is looked up.
//!
//! Names are judged by their spelling here and by their addresses in `check_resolved`, at save and
//! again at every send. Everything that a check looks at is what the connection will use.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::{AllowList, Refused, check_address};

pub const URL_BYTES_MAX: usize = 2_048;

const NAME_BYTES_MAX: usize = 253;
const HTTPS_PORT: u16 = 443;
const PORT_MIN: u16 = 1_024;
/// Databases and control sockets that speak enough HTTP to be harmed.
const PORTS_REFUSED: [u16; 7] = [2375, 3306, 5432, 6379, 9200, 11211, 27017];

/// Names that never lead outside, with everything under them.
const LOCAL_ZONES: [&str; 7] =
    ["localhost", "local", "internal", "home.arpa", "svc", "cluster.local", "localdomain"];

/// Names of clouds that hand out credentials to whoever asks from inside.
const METADATA_NAMES: [&str; 9] = [
    "metadata.goog",
    "metadata.google.com",
    "metadata.azure.com",
    "metadata.azure.net",
    "metadata.tencentyun.com",
    "metadata.packet.net",
    "metadata.platformequinix.com",
    "metadata.cloud.ibm.com",
    "metadata.oraclecloud.com",
];

/// A URL that may be saved and sent to, once its addresses are checked too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: Url,
    host: TargetHost,
    port: u16,
    /// A rule that it breaks, and that binds unless all its addresses are in the allow list.
    only_if_allowed: Option<TargetError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetHost {
    Name(String),
    Address(IpAddr),
}

/// The rule that a URL breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("must have at most {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("must not contain white space, control characters or backslashes")]
    BadCharacter,
    #[error("is not a URL such as \"https://example.com/hooks\"")]
    Malformed,
    #[error("must begin with \"https://\"")]
    NotHttps,
    #[error("must not contain a user name or a password: use a bearer token")]
    UserInfo,
    #[error("must have port 443, or one from 1024 on that no database uses")]
    Port,
    #[error("must name a host with a public domain")]
    LocalName,
    #[error("must not name a metadata endpoint of a cloud")]
    MetadataName,
    #[error("must not have an IPv6 zone")]
    Zone,
    #[error("must lead to public addresses only: {0}")]
    Address(Refused),
}

impl Target {
    /// Judges everything that can be judged without looking the name up.
    pub fn parse(text: &str, list: &AllowList) -> Result<Target, TargetError> {
        let mut url = parse_text(text)?;
        url.set_fragment(None);
        let host = host_of(&mut url)?;
        let port = url.port_or_known_default().ok_or(TargetError::Malformed)?;
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(TargetError::TooLong);
        }
        let broken = check_scheme_port_name(&url, &host, port).err();
        let target = Target { url, host, port, only_if_allowed: broken };
        target.settle(list)
    }

    /// Judges what the name leads to. Without addresses a name passes only if nothing about it
    /// depends on them: it is looked up again at every send.
    pub fn check_resolved(
        &self,
        addresses: &[IpAddr],
        list: &AllowList,
    ) -> Result<(), TargetError> {
        for &address in addresses {
            check_address(address, list).map_err(TargetError::Address)?;
        }
        let allowed = addresses.iter().all(|&address| list.allows(address));
        match self.only_if_allowed {
            Some(broken) if addresses.is_empty() || !allowed => Err(broken),
            _ => Ok(()),
        }
    }

    /// As it is stored: normalised, international names as punycode, without fragment.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn host(&self) -> &TargetHost {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Literals are settled at once; a name that breaks a rule keeps a chance only where the
    /// operator has allowed something.
    fn settle(self, list: &AllowList) -> Result<Target, TargetError> {
        match (&self.host, self.only_if_allowed) {
            (TargetHost::Address(address), _) => self.check_resolved(&[*address], list)?,
            (TargetHost::Name(_), Some(broken)) if list.allow.is_empty() => return Err(broken),
            _ => {}
        }
        Ok(self)
    }
}

fn parse_text(text: &str) -> Result<Url, TargetError> {
    if text.len() > URL_BYTES_MAX {
        return Err(TargetError::TooLong);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(TargetError::BadCharacter);
    }
    let authority = authority(text);
    if authority.contains('@') {
        return Err(TargetError::UserInfo);
    }
    if authority.starts_with('[') && authority.contains('%') {
        return Err(TargetError::Zone);
    }
    let url = Url::parse(text).map_err(|_| TargetError::Malformed)?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(TargetError::NotHttps),
    }
}

/// The part between the scheme and the path, read as leniently as the parser reads it.
fn authority(text: &str) -> &str {
    let rest = text.split_once(':').map_or("", |(_, rest)| rest).trim_start_matches('/');
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The host; the URL loses a trailing dot, so that one name has one spelling.
fn host_of(url: &mut Url) -> Result<TargetHost, TargetError> {
    let name = match url.host() {
        Some(Host::Ipv4(address)) => return Ok(TargetHost::Address(address.into())),
        Some(Host::Ipv6(address)) => {
            return Ok(TargetHost::Address(IpAddr::V6(address).to_canonical()));
        }
        Some(Host::Domain(name)) => name.strip_suffix('.').unwrap_or(name).to_owned(),
        None => return Err(TargetError::Malformed),
    };
    if name.len() > NAME_BYTES_MAX || name.split('.').any(|label| !(1..=63).contains(&label.len()))
    {
        return Err(TargetError::Malformed);
    }
    url.set_host(Some(&name)).map_err(|_| TargetError::Malformed)?;
    Ok(TargetHost::Name(name))
}

fn check_scheme_port_name(url: &Url, host: &TargetHost, port: u16) -> Result<(), TargetError> {
    if url.scheme() != "https" {
        return Err(TargetError::NotHttps);
    }
    if let TargetHost::Name(name) = host {
        check_name(name)?;
    }
    if port != HTTPS_PORT && port < PORT_MIN || PORTS_REFUSED.contains(&port) {
        return Err(TargetError::Port);
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), TargetError> {
    if METADATA_NAMES.iter().any(|zone| is_under(name, zone)) {
        return Err(TargetError::MetadataName);
    }
    if !name.contains('.') || LOCAL_ZONES.iter().any(|zone| is_under(name, zone)) {
        return Err(TargetError::LocalName);
    }
    Ok(())
}

fn is_under(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOT_PUBLIC: TargetError = TargetError::Address(Refused::NotPublic);

    fn strict(text: &str) -> Result<String, TargetError> {
        Target::parse(text, &AllowList::default()).map(|target| target.as_str().to_owned())
    }

    fn loopback() -> AllowList {
        let allow = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap()).to_vec();
        AllowList { allow, ..AllowList::default() }
    }

    #[test]
    fn good_urls_are_stored_in_one_spelling() {
        let table = [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://Example.COM:443/a?b=c#frag", "https://example.com/a?b=c"),
            ("https://example.com./x", "https://example.com/x"),
            ("https://example.com:8443/x", "https://example.com:8443/x"),
            ("https://example.com:65535/", "https://example.com:65535/"),
            ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
            ("https://ex%61mple.com/", "https://example.com/"),
            ("https://例え。jp/", "https://xn--r8jz45g.jp/"),
            ("https://8.8.8.8/x", "https://8.8.8.8/x"),
            ("https://134744072/", "https://8.8.8.8/"),
            ("https://[2606:4700::1]/", "https://[2606:4700::1]/"),
            ("https://a.b.c/@user", "https://a.b.c/@user"),
            ("https://a.b.c/?m=x@y", "https://a.b.c/?m=x@y"),
            ("https://my-internal.example/", "https://my-internal.example/"),
        ];
        for (text, stored) in table {
            assert_eq!(strict(text).as_deref(), Ok(stored), "{text}");
        }
    }

    #[test]
    fn every_spelling_of_a_private_address_is_that_address() {
        let spellings = "127.0.0.1 127.1 127.0.1 0x7f.1 0x7f000001 2130706433 017700000001 \
            0177.0.0.1 0x7f.0x0.0x0.0x1 127.0.0.1. 127.1. 0 0.0.0.0 0x0 %31%32%37.0.0.1 \
            127.0.0.1 ①②⑦.0.0.1 10.0.0.1 10.1 169.254.169.254 2852039166 0xa9fea9fe \
            0251.0376.0251.0376 100.100.100.200 192.168.1.1 172.16.0.1 255.255.255.255 224.0.0.1 \
            [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:1] [::127.0.0.1] \
            [64:ff9b::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b:1::1] [fe80::1] [fec0::1] [fd00:ec2::254] \
            [ff02::1] [2002:7f00:1::] [2001::1] [2001:db8::1] [3fff::1]";
        for host in spellings.split_whitespace() {
            assert_eq!(strict(&format!("https://{host}/")), Err(NOT_PUBLIC), "{host}");
        }
    }

    #[test]
    fn numbers_that_are_no_address_are_no_host() {
        for host in ["1.2.3.4.5", "256.1.1.1", "0x100000000", "1.2.3.08", "a.1", "[::1", "[1]"] {
            assert_eq!(strict(&format!("https://{host}/")), Err(TargetError::Malformed), "{host}");
        }
    }

    #[test]
    fn local_and_metadata_names_are_refused() {
        let local = "localhost LOCALHOST localhost. a.localhost intranet db printer.local \
            metadata.google.internal METADATA.GOOGLE.INTERNAL. instance-data.ec2.internal \
            router.home.arpa home.arpa kubernetes.default.svc x.svc.cluster.local metadata \
            localhost.localdomain";
        for host in local.split_whitespace() {
            assert_eq!(strict(&format!("https://{host}/")), Err(TargetError::LocalName), "{host}");
        }
        for host in ["metadata.goog", "x.metadata.goog", "api.metadata.cloud.ibm.com"] {
            let refused = strict(&format!("https://{host}/"));
            assert_eq!(refused, Err(TargetError::MetadataName), "{host}");
        }
    }

    #[test]
    fn ports_are_443_or_high_and_not_a_database() {
        for port in [0, 1, 22, 25, 80, 442, 444, 1_023, 2375, 3306, 5432, 6379, 9200, 11211, 27017]
        {
            let refused = strict(&format!("https://example.com:{port}/"));
            assert_eq!(refused, Err(TargetError::Port), "{port}");
        }
        for port in [443, 1_024, 3_000, 8_080, 8_443, 65_535] {
            assert!(strict(&format!("https://example.com:{port}/")).is_ok(), "{port}");
        }
        assert_eq!(strict("https://example.com:65536/"), Err(TargetError::Malformed));
    }

    #[test]
    fn tricks_with_the_text_are_refused() {
        let table = [
            ("", TargetError::Malformed),
            ("example.com/x", TargetError::Malformed),
            ("https://", TargetError::Malformed),
            ("https://..", TargetError::Malformed),
            ("https://example..com/", TargetError::Malformed),
            ("https://example.com../", TargetError::Malformed),
            ("https://.example.com/", TargetError::Malformed),
            ("http://example.com/", TargetError::NotHttps),
            ("ftp://example.com/", TargetError::NotHttps),
            ("file:///etc/passwd", TargetError::NotHttps),
            ("gopher://example.com/", TargetError::NotHttps),
            ("javascript:alert(1)", TargetError::NotHttps),
            ("https://user@example.com/", TargetError::UserInfo),
            ("https://user:pw@example.com/", TargetError::UserInfo),
            ("https://@example.com/", TargetError::UserInfo),
            ("https:///u@example.com/", TargetError::UserInfo),
            ("https:u:p@example.com/", TargetError::UserInfo),
            ("https://example.com@127.0.0.1/", TargetError::UserInfo),
            (" https://example.com/", TargetError::BadCharacter),
            ("https://example.com/ x", TargetError::BadCharacter),
            ("https://exam\tple.com/", TargetError::BadCharacter),
            ("https://example.com/\r\nx: y", TargetError::BadCharacter),
            ("https://example.com\\@127.0.0.1/", TargetError::BadCharacter),
            ("https://example.com/\u{a0}", TargetError::BadCharacter),
            ("https://example.com/\u{0}", TargetError::BadCharacter),
            ("https://[fe80::1%eth0]/", TargetError::Zone),
            ("https://[fe80::1%25eth0]/", TargetError::Zone),
        ];
        for (text, error) in table {
            assert_eq!(strict(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn length_counts_before_and_after_normalising() {
        let path = |count, c: &str| format!("https://example.com/{}", c.repeat(count));
        assert!(strict(&path(URL_BYTES_MAX - 20, "a")).is_ok());
        assert_eq!(strict(&path(URL_BYTES_MAX - 19, "a")), Err(TargetError::TooLong));
        assert_eq!(strict(&path(1_000, "ü")), Err(TargetError::TooLong));
        let label = format!("https://{}.com/", "a".repeat(64));
        assert_eq!(strict(&label), Err(TargetError::Malformed));
    }

    #[test]
    fn allowed_literals_may_break_scheme_port_and_name() {
        for text in [
            "http://127.0.0.1:3000/x",
            "http://127.1/",
            "https://[::1]:6379/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(Target::parse(text, &loopback()).is_ok(), "{text}");
        }
        assert_eq!(Target::parse("http://10.0.0.1/", &loopback()), Err(NOT_PUBLIC));
        assert_eq!(Target::parse("http://8.8.8.8/", &loopback()), Err(TargetError::NotHttps));
        let denied = AllowList { deny: vec!["127.0.0.1/32".parse().unwrap()], ..loopback() };
        let error = TargetError::Address(Refused::Denied);
        assert_eq!(Target::parse("http://127.0.0.1/", &denied), Err(error));
    }

    #[test]
    fn names_that_break_a_rule_need_all_addresses_allowed() {
        let (list, ip) = (loopback(), |text: &str| text.parse::<IpAddr>().unwrap());
        let target = Target::parse("http://localhost:4000/", &list).unwrap();
        assert_eq!(target.check_resolved(&[ip("127.0.0.1"), ip("::1")], &list), Ok(()));
        assert_eq!(target.check_resolved(&[], &list), Err(TargetError::NotHttps));
        let mixed = [ip("127.0.0.1"), ip("8.8.8.8")];
        assert_eq!(target.check_resolved(&mixed, &list), Err(TargetError::NotHttps));
        let strict = target.check_resolved(&[ip("127.0.0.1")], &AllowList::default());
        assert_eq!(strict, Err(NOT_PUBLIC));
    }

    #[test]
    fn one_refused_address_refuses_the_whole_name() {
        let (list, ip) = (AllowList::default(), |text: &str| text.parse::<IpAddr>().unwrap());
        let target = Target::parse("https://example.com/", &list).unwrap();
        assert_eq!(target.check_resolved(&[], &list), Ok(()));
        assert_eq!(target.check_resolved(&[ip("8.8.8.8")], &list), Ok(()));
        let mixed = [ip("8.8.8.8"), ip("10.0.0.1")];
        assert_eq!(target.check_resolved(&mixed, &list), Err(NOT_PUBLIC));
        assert_eq!((target.port(), target.is_https()), (443, true));
        assert_eq!(target.host(), &TargetHost::Name("example.com".to_owned()));
    }

    proptest! {
        #[test]
        fn what_is_stored_parses_to_itself(text in "https?://[a-z0-9.:%\\[\\]@/?#-]{0,30}") {
            if let Ok(target) = Target::parse(&text, &AllowList::default()) {
                let again = Target::parse(target.as_str(), &AllowList::default());
                prop_assert_eq!(again, Ok(target));
            }
        }

        #[test]
        fn no_spelling_of_a_private_address_passes(tail: u32) {
            let address = 10 << 24 | tail >> 8;
            for host in [format!("{address}"), format!("{address:#x}"), format!("0{address:o}")] {
                prop_assert_eq!(strict(&format!("https://{host}/")), Err(NOT_PUBLIC));
            }
        }
    }
}
