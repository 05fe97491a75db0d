//! Stories of requests that ended, many in a row: all that one flush of the writer ends of a
//! paywall. Terms that several have in common stand once in a pack.
//!
//! A pack is written once. No row and no index entry is written for a single request: a pack is
//! found by its first and its last id, which lie so close together that few packs can hold an id.
//!
//! Layout: the number of terms and each of them; then each story in the order of ids: its id, which
//! terms, its own part (`domain::proxy::story::Packed`).

use std::collections::BTreeMap;

use crate::sql::{Bulk, Connection, Row, params};
use domain::id::{RequestId, Ulid};
use domain::packed::{pull_count, pull_id, pull_slice, push_count, push_id, push_slice};
use domain::place::EnvNo;
use domain::proxy::story::{Packed, Story};
use domain::scope::Scope;

use crate::database::Read;
use crate::error::Error;
use crate::proxy_requests;
use crate::value::Key;

/// Stories of one pack.
const STORIES_MAX: usize = 64;
/// From the first id of a pack to the last: one second.
const SPAN_MAX: u128 = 1_000 << 80;

pub(crate) struct Ended {
    pub(crate) env: EnvNo,
    pub(crate) paywall: i64,
    pub(crate) id: RequestId,
    pub(crate) story: Packed,
}

/// Writes what ended, in as few packs as the limits allow.
pub(crate) fn append(connection: &Connection, mut ended: Vec<Ended>) -> Result<(), Error> {
    ended.sort_unstable_by_key(|one| (one.env, one.paywall, one.id));
    let mut rest = ended.as_slice();
    let mut insert = connection.bulk(
        "INSERT INTO proxy_packs (env, paywall, first, last, stories) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    while let Some(first) = rest.first() {
        let fits = |one: &&Ended| {
            (one.env, one.paywall) == (first.env, first.paywall)
                && one.id.0.0 - first.id.0.0 <= SPAN_MAX
        };
        let count = rest.iter().take(STORIES_MAX).take_while(fits).count();
        let (pack, others) = rest.split_at(count);
        push(&mut insert, pack)?;
        rest = others;
    }
    Ok(insert.finish()?)
}

fn push(insert: &mut Bulk<'_>, ended: &[Ended]) -> Result<(), Error> {
    let (Some(first), Some(last)) = (ended.first(), ended.last()) else { return Ok(()) };
    insert.push(params![
        first.env.get(),
        first.paywall,
        Key(first.id.0),
        Key(last.id.0),
        pack(ended.iter().map(|one| (one.id, &one.story))),
    ])?;
    Ok(())
}

/// The bytes of a pack.
pub(crate) fn pack<'p>(
    stories: impl IntoIterator<Item = (RequestId, &'p Packed), IntoIter: Clone>,
) -> Vec<u8> {
    let stories = stories.into_iter();
    let mut terms: Vec<&[u8]> = Vec::new();
    for (_, story) in stories.clone() {
        if !terms.contains(&story.terms.as_slice()) {
            terms.push(&story.terms);
        }
    }
    let mut bytes = Vec::new();
    push_count(&mut bytes, terms.len() as u64);
    for terms in &terms {
        push_slice(&mut bytes, terms);
    }
    for (id, story) in stories {
        let place = terms.iter().position(|terms| *terms == story.terms);
        push_id(&mut bytes, id.0);
        push_count(&mut bytes, place.unwrap_or_default() as u64);
        push_slice(&mut bytes, &story.own);
    }
    bytes
}

/// A pack as it is read.
struct Pack<'b> {
    terms: Vec<&'b [u8]>,
    rest: &'b [u8],
}

impl<'b> Pack<'b> {
    fn open(mut rest: &'b [u8]) -> Option<Pack<'b>> {
        let count = pull_count(&mut rest)?;
        let terms = (0..count).map(|_| pull_slice(&mut rest)).collect::<Option<_>>()?;
        Some(Pack { terms, rest })
    }

    /// The next story: its id, its terms, its own part.
    fn next(&mut self) -> Option<(RequestId, &'b [u8], &'b [u8])> {
        let id = RequestId(pull_id(&mut self.rest)?);
        let terms = usize::try_from(pull_count(&mut self.rest)?).ok()?;
        Some((id, *self.terms.get(terms)?, pull_slice(&mut self.rest)?))
    }
}

/// The story of a request, if the pack has it.
pub(crate) fn find(pack: &[u8], id: RequestId) -> Option<Story> {
    let mut pack = Pack::open(pack)?;
    while let Some((one, terms, own)) = pack.next() {
        if one == id {
            return Story::unpack(id, terms, own);
        }
    }
    None
}

/// Every story of a pack; what cannot be read is left out.
pub(crate) fn all(pack: &[u8]) -> Vec<Story> {
    let mut stories = Vec::new();
    let Some(mut pack) = Pack::open(pack) else { return stories };
    while let Some((id, terms, own)) = pack.next() {
        stories.extend(Story::unpack(id, terms, own));
    }
    stories
}

/// Finds stories, and remembers the last pack: requests that are asked for together often ended
/// together.
#[derive(Default)]
pub struct Shelf {
    paywall: i64,
    pack: Vec<u8>,
}

impl Shelf {
    /// The story of any request of a paywall, ended or not.
    pub fn find(
        &mut self,
        read: Read<'_>,
        scope: &Scope,
        (paywall, id): (i64, RequestId),
    ) -> Result<Option<Story>, Error> {
        if self.paywall == paywall
            && let Some(story) = find(&self.pack, id)
        {
            return Ok(Some(story));
        }
        if let Some(open) = proxy_requests::find_open(read, scope, (paywall, id))? {
            return Ok(Some(open.story));
        }
        self.find_pack(read, scope, (paywall, id))
    }

    fn find_pack(
        &mut self,
        read: Read<'_>,
        scope: &Scope,
        (paywall, id): (i64, RequestId),
    ) -> Result<Option<Story>, Error> {
        let mut select = read.connection.prepare_cached(
            "SELECT stories FROM proxy_packs
             WHERE env = ?1 AND paywall = ?2 AND last BETWEEN ?3 AND ?4 AND first <= ?3",
        )?;
        let values = params![scope.env.get(), paywall, Key(id.0), Key(after(id))];
        let mut rows = select.query(values)?;
        while let Some(row) = rows.next()? {
            let pack = stories(&row, 0)?;
            if let Some(story) = find(pack, id) {
                (self.paywall, self.pack) = (paywall, pack.to_vec());
                return Ok(Some(story));
            }
        }
        Ok(None)
    }
}

/// The latest end of a pack that holds an id.
fn after(id: RequestId) -> Ulid {
    Ulid(id.0.0.saturating_add(SPAN_MAX))
}

fn stories<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], Error> {
    Ok(row.get_ref(column)?.as_blob().map_err(crate::sql::Error::from)?)
}

/// The newest requests of a page, of those that were shown to it.
pub(crate) struct Newest {
    before: RequestId,
    most: usize,
    found: BTreeMap<RequestId, Story>,
}

impl Newest {
    /// The `limit` newest before a request.
    pub(crate) fn new(before: RequestId, limit: u32) -> Newest {
        Newest { before, most: limit as usize, found: BTreeMap::new() }
    }

    /// The page is full of newer ones.
    fn is_past(&self, id: RequestId) -> bool {
        let oldest = self.found.first_key_value().filter(|_| self.found.len() >= self.most);
        oldest.is_some_and(|(oldest, _)| id < *oldest)
    }

    pub(crate) fn add(&mut self, story: Story) {
        if story.request_id < self.before {
            self.found.insert(story.request_id, story);
        }
        while self.found.len() > self.most {
            self.found.pop_first();
        }
    }

    fn add_pack(&mut self, pack: &[u8]) -> Option<()> {
        let mut pack = Pack::open(pack)?;
        while let Some((id, terms, own)) = pack.next() {
            if id < self.before && !self.is_past(id) {
                self.add(Story::unpack(id, terms, own)?);
            }
        }
        pack.rest.is_empty().then_some(())
    }
}

/// Completes a page with requests that ended.
pub(crate) fn page(
    read: Read<'_>,
    scope: &Scope,
    paywall: i64,
    mut newest: Newest,
) -> Result<Vec<Story>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT no, last, stories FROM proxy_packs
         WHERE env = ?1 AND paywall = ?2 AND last <= ?3 AND first < ?4 ORDER BY last DESC",
    )?;
    let (before, upto) = (Key(newest.before.0), Key(after(newest.before)));
    let mut rows = select.query_in_pieces(params![scope.env.get(), paywall, upto, before])?;
    while let Some(row) = rows.next()? {
        // Every pack that follows is older still.
        if newest.is_past(RequestId(row.get::<Key>(1)?.0)) {
            break;
        }
        let broken = || Error::corrupt("proxy_packs", row.get(0).unwrap_or(0_i64), "it is broken");
        newest.add_pack(stories(&row, 2)?).ok_or_else(broken)?;
    }
    Ok(newest.found.into_values().rev().collect())
}

#[cfg(test)]
mod tests {
    use domain::id::{EnvironmentId, TenantId};
    use domain::proxy::story::{Packed, Status, Story};
    use proptest::prelude::*;

    use super::*;
    use crate::Database;
    use crate::proxy_requests::{Noted, Standing};

    const PAYWALL: i64 = 3;

    fn scope() -> Scope {
        let (environment, tenant) = (EnvironmentId::default(), TenantId::default());
        Scope { env: EnvNo::new(1), environment, tenant, live: true }
    }

    /// A story of request `id` to model `model`.
    fn story(id: u128, model: u8) -> Story {
        let terms = [
            &[1][..],
            &[0; 16],
            &[0, 0, 2, b'm' + model, 0, 6],
            b"usd",
            &[0, 0, 12, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let own = [&[1, 0][..], &[0; 16], &[0; 20]].concat();
        Story::unpack(RequestId(Ulid(id)), &terms, &own).unwrap()
    }

    fn noted(story: &Story, standing: Standing) -> (EnvNo, Noted) {
        (EnvNo::new(1), Noted::new((PAYWALL, 9), standing, story))
    }

    #[test]
    fn terms_that_are_equal_stand_once_in_a_pack() {
        let stories: Vec<Story> =
            (1..=40).map(|id| story(id, u8::try_from(id % 2).unwrap())).collect();
        let packed: Vec<Packed> = stories.iter().map(Story::pack).collect();
        let ids = stories.iter().map(|story| story.request_id);
        let bytes = pack(ids.zip(&packed));
        let own: usize = packed.iter().map(|packed| packed.own.len() + 16 + 2).sum();
        let terms = packed[0].terms.len() + packed[1].terms.len();
        assert!(bytes.len() <= own + terms + 4, "{}", bytes.len());
        for story in &stories {
            let found = find(&bytes, story.request_id).unwrap();
            assert_eq!(found.requested_model, story.requested_model);
        }
        assert!(find(&bytes, RequestId(Ulid(41))).is_none());
    }

    /// Milliseconds, chance, and what becomes of each.
    fn requests() -> impl Strategy<Value = Vec<(u128, u16, u8)>> {
        prop::collection::vec((0..4_000_u128, any::<u16>(), 0..4_u8), 1..90)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]
        /// Whatever ended together, in whichever order: each request is found, and pages hold
        /// exactly the newest ones.
        #[test]
        fn requests_are_found_by_id_and_paged_newest_first(
            flushes in prop::collection::vec(requests(), 1..8),
            limit in 1..40_u32,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let database = Database::open(&crate::Location::file(folder.path().join("a.db")), true).unwrap();
            let connection = database.connect_writer().unwrap();
            let mut all = std::collections::BTreeSet::new();
            for flush in flushes {
                let mut rows = Vec::new();
                for (ms, chance, fate) in flush {
                    let id = ((1_795_000_000_000 + ms) << 80) | u128::from(chance);
                    if !all.insert(RequestId(Ulid(id))) {
                        continue;
                    }
                    let story = story(id, fate);
                    match fate {
                        0 => rows.push(noted(&story, Standing::Open)),
                        1 => {
                            rows.push(noted(&story, Standing::Unsettled));
                            rows.push(noted(&story, Standing::Ended { known: true }));
                        }
                        _ => rows.push(noted(&story, Standing::Ended { known: false })),
                    }
                }
                proxy_requests::save(&connection, 1, rows).unwrap();
            }
            let (ids, mut before) = (all.iter().rev().copied().collect::<Vec<_>>(), None);
            let mut paged = Vec::new();
            loop {
                let page = database.read(|read| {
                    proxy_requests::page(read, &scope(), PAYWALL, (before, limit))
                }).unwrap();
                let Some(last) = page.last() else { break };
                prop_assert!(page.len() <= limit as usize);
                before = Some(last.request_id);
                paged.extend(page.iter().map(|story| story.request_id));
            }
            prop_assert_eq!(&paged, &ids);
            let find = |id| {
                database.read(|read| proxy_requests::find(read, &scope(), (PAYWALL, id)))
            };
            for id in ids {
                let found: Option<Story> = find(id).unwrap();
                let found = found.map(|story| (story.request_id, story.status));
                prop_assert_eq!(found, Some((id, Status::Completed)));
            }
            prop_assert!(find(RequestId(Ulid(7))).unwrap().is_none());
        }
    }
}
