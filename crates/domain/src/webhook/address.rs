//! Which addresses a request that a user caused may connect to. Asked for every address of every
//! name at every connection: a name that was harmless a minute ago may not be so now.
//!
//! It resolves nothing. Whoever connects must connect to the very address that was checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The operator's word on addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// Private networks that may be reached.
    pub allow: Vec<IpNet>,
    /// Networks that may never be reached, allowed or not.
    pub deny: Vec<IpNet>,
    /// Addresses of this machine.
    pub own: Vec<IpAddr>,
}

/// The address is refused. Its text never names the address, since whoever gave the name could
/// otherwise learn what lies inside the operator's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it leads to an address that the operator has denied")]
    Denied,
    #[error("it leads to this machine itself")]
    Own,
    #[error("it leads to an address that is not public")]
    NotPublic,
}

const REFUSED_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// Everything outside is refused: translated, local, link-local, multicast and mapped forms.
const PUBLIC_V6: Ipv6Net = v6([0x2000, 0], 3);

/// Inside the public part, but not public: protocol assignments, documentation, 6to4.
const REFUSED_V6: [Ipv6Net; 4] =
    [v6([0x2001, 0], 23), v6([0x2001, 0x0db8], 32), v6([0x2002, 0], 16), v6([0x3fff, 0], 20)];

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from_octets(octets), length)
}

const fn v6(head: [u16; 2], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(head[0], head[1], 0, 0, 0, 0, 0, 0), length)
}

/// Says whether a connection to this address may be opened.
pub fn check_address(address: IpAddr, list: &AllowList) -> Result<(), Refused> {
    let address = address.to_canonical();
    if contains(&list.deny, address) {
        return Err(Refused::Denied);
    }
    if list.allows(address) {
        return Ok(());
    }
    if list.own.iter().any(|own| own.to_canonical() == address) {
        return Err(Refused::Own);
    }
    if is_public(address) { Ok(()) } else { Err(Refused::NotPublic) }
}

impl AllowList {
    /// Whether the operator has named this address as reachable.
    pub fn allows(&self, address: IpAddr) -> bool {
        contains(&self.allow, address.to_canonical())
    }
}

/// IPv4 addresses are found in networks of either spelling.
fn contains(nets: &[IpNet], address: IpAddr) -> bool {
    let mapped = match address {
        IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
        IpAddr::V6(_) => address,
    };
    nets.iter().any(|net| net.contains(&address) || is_mapped(net) && net.contains(&mapped))
}

/// Wider networks than the mapped ones mean IPv6 alone: `::/0` is no word on IPv4.
fn is_mapped(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(net) if net.prefix_len() >= 96)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !REFUSED_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => {
            PUBLIC_V6.contains(&address) && !REFUSED_V6.iter().any(|net| net.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(allow: &str, deny: &str, own: &str) -> AllowList {
        let nets = |text: &str| text.split_whitespace().map(|net| net.parse().unwrap()).collect();
        let own = own.split_whitespace().map(|address| address.parse().unwrap()).collect();
        AllowList { allow: nets(allow), deny: nets(deny), own }
    }

    fn check(address: &str, list: &AllowList) -> Result<(), Refused> {
        check_address(address.parse().unwrap(), list)
    }

    #[test]
    fn edges_of_every_refused_network_are_refused() {
        let refused = "0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 \
            100.100.100.200 127.0.0.1 127.255.255.255 169.254.0.0 169.254.169.254 169.254.255.255 \
            172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.255 192.0.2.1 192.88.99.1 192.168.0.0 \
            192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 \
            239.255.255.255 240.0.0.1 255.255.255.255 \
            :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.1.2.3 ::ffff:169.254.169.254 \
            ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::8.8.8.8 64:ff9b:1::1 100::1 1fff:ffff::1 \
            2001::1 2001:1ff:ffff::1 2001:db8::1 2002:7f00:1::1 2002:808:808::1 3fff::1 \
            3fff:fff:ffff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fdff::1 fe80::1 febf::1 \
            fec0::1 ff02::1 ffff::1";
        for address in refused.split_whitespace() {
            let result = check(address, &AllowList::default());
            assert_eq!(result, Err(Refused::NotPublic), "{address}");
        }
    }

    #[test]
    fn neighbours_of_refused_networks_are_public() {
        let public = "1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 \
            126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 \
            191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 \
            192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 \
            203.0.114.0 223.255.255.255 ::ffff:8.8.8.8 \
            2000::1 2001:200::1 2001:db7::1 2001:db9::1 2003::1 2606:4700::1 3ffe::1 3fff:1000::1";
        for address in public.split_whitespace() {
            assert_eq!(check(address, &AllowList::default()), Ok(()), "{address}");
        }
    }

    #[test]
    fn the_operator_lifts_and_denies() {
        let list =
            list("127.0.0.0/8 ::1/128 10.1.0.0/16", "10.1.2.0/24 8.8.0.0/16", "9.9.9.9 10.1.1.1");
        let table = [
            ("127.0.0.1", Ok(())),
            ("::ffff:127.0.0.1", Ok(())),
            ("::1", Ok(())),
            ("10.1.1.1", Ok(())),
            ("10.1.2.3", Err(Refused::Denied)),
            ("::ffff:10.1.2.3", Err(Refused::Denied)),
            ("8.8.8.8", Err(Refused::Denied)),
            ("9.9.9.9", Err(Refused::Own)),
            ("::ffff:9.9.9.9", Err(Refused::Own)),
            ("10.2.0.1", Err(Refused::NotPublic)),
            ("1.1.1.1", Ok(())),
        ];
        for (address, result) in table {
            assert_eq!(check(address, &list), result, "{address}");
        }
    }

    #[test]
    fn networks_may_be_written_in_mapped_form() {
        let denied = list("", "::ffff:8.8.0.0/112", "");
        assert_eq!(check("8.8.8.8", &denied), Err(Refused::Denied));
        let all_v6 = list("::/0", "", "");
        assert_eq!(check("127.0.0.1", &all_v6), Err(Refused::NotPublic));
        assert_eq!(check("fd00::1", &all_v6), Ok(()));
    }

    #[test]
    fn refusals_do_not_tell_the_address() {
        for refused in [Refused::Denied, Refused::Own, Refused::NotPublic] {
            assert!(!refused.to_string().chars().any(|c| c.is_ascii_digit()));
        }
    }

    proptest! {
        #[test]
        fn a_mapped_address_is_judged_as_the_one_inside(bits: u32) {
            let inner = Ipv4Addr::from_bits(bits);
            let list = AllowList::default();
            let mapped = IpAddr::V6(inner.to_ipv6_mapped());
            prop_assert_eq!(
                check_address(mapped, &list),
                check_address(IpAddr::V4(inner), &list)
            );
        }
    }
}
