//! The developer's own top-up page: a URL with places for the user and the link's token.

use url::Url;

use crate::percent;

const URL_CHARS_MAX: usize = 2_048;

/// Whether the text is an http(s) URL once its places are filled, and has no places but ours.
pub fn is_topup_url(template: &str) -> bool {
    let Some(sample) = fill(template, "user", "token") else { return false };
    let web = |url: &Url| matches!(url.scheme(), "https" | "http") && url.has_host();
    template.len() <= URL_CHARS_MAX
        && !template.chars().any(char::is_control)
        && Url::parse(&sample).is_ok_and(|url| web(&url))
}

/// The address for one user: `{{ user }}` and `{{ token }}` are replaced, percent-encoded.
pub fn fill_topup_url(template: &str, user: &str, token: &str) -> String {
    fill(template, user, token).unwrap_or_else(|| template.to_owned())
}

/// None where a place has another name or is not closed.
fn fill(template: &str, user: &str, token: &str) -> Option<String> {
    let mut parts = template.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}")?;
        let value = match name.trim() {
            "user" => user,
            "token" => token,
            _ => return None,
        };
        filled.push_str(&percent::encoded(value));
        filled.push_str(rest);
    }
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_both_places_percent_encoded() {
        let table = [
            (
                "https://a.example/t?u={{ user }}&t={{ token }}",
                "https://a.example/t?u=a%26b%2Fc&t=x-1",
            ),
            ("https://a.example/{{user}}/{{  user  }}", "https://a.example/a%26b%2Fc/a%26b%2Fc"),
            ("https://a.example/", "https://a.example/"),
        ];
        for (template, expected) in table {
            assert_eq!(fill_topup_url(template, "a&b/c", "x-1"), expected);
        }
        assert_eq!(
            fill_topup_url("{{ user }}", "é {{ token }}", "t"),
            "%C3%A9%20%7B%7B%20token%20%7D%7D"
        );
    }

    #[test]
    fn accepts_web_addresses_with_known_places_only() {
        for good in ["https://a.example/t?u={{ user }}", "http://localhost:3000/pay/{{user}}"] {
            assert!(is_topup_url(good), "{good}");
        }
        let long = format!("https://a.example/{}", "x".repeat(2_048));
        for bad in [
            "",
            "/topup",
            "a.example",
            "javascript:alert(1)",
            "ftp://a.example/{{ user }}",
            "https://a.example/{{ name }}",
            "https://a.example/{{ user",
            "https://",
            &long,
            "https://a.example/\n",
        ] {
            assert!(!is_topup_url(bad), "{bad}");
        }
    }
}
