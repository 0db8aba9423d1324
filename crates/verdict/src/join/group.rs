//! The connections of each group in turn, and what else must be known before it can be joined.

use runlog::analysis::{ClockRelation, Join};
use runlog::record::{ClientConnection, ServerConnection};

use crate::join::cause;
use crate::join::clock::on_server;
use crate::join::connections::{Matched, Offset, match_by_port, rough_offset};
use crate::join::content::Leftover;
use crate::join::source::{ConnectionRows, Grouping, Rows, Source};
use crate::join::stream::Known;

/// An accept that is later than its connect by no more than this may be on the same clock.
const ACCEPTED_SOON_NS: std::ops::Range<i64> = 0..1_000_000_000;

/// The connections of all groups, read once.
#[derive(Debug)]
pub struct Connections {
    rows: ConnectionRows,
    /// Requests and spans, read ahead of the join where that is needed.
    ahead: Option<Rows>,
    relation: Option<ClockRelation>,
}

/// What is known of a group.
#[derive(Debug)]
pub struct Turn {
    /// Its connections.
    pub known: Known,
    /// The clocks.
    pub relation: ClockRelation,
    /// With two clocks: the server's minus the client's, as the connections tell it.
    pub rough_offset_ns: Option<i64>,
}

impl Connections {
    /// Opens them.
    pub fn open(source: &Source<'_>) -> runlog::Result<Self> {
        Ok(Self {
            rows: source.connections()?,
            ahead: None,
            relation: source.one_clock.map(|is_one| {
                if is_one {
                    ClockRelation::One
                } else {
                    ClockRelation::Two
                }
            }),
        })
    }

    /// The rows for reading ahead.
    pub fn ahead(&mut self, source: &Source<'_>) -> runlog::Result<&mut Rows> {
        let ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => source.rows()?,
        };
        Ok(self.ahead.insert(ahead))
    }

    /// Matches the connections of the next group.
    pub fn turn(
        &mut self,
        source: &Source<'_>,
        number: u32,
        join: &mut Join,
    ) -> runlog::Result<Turn> {
        let mut client = self.rows.client.take_group(number)?;
        if source.grouping == Grouping::All {
            client.retain(|connection| (source.wants)(connection.arm, true));
        }
        let server = self.rows.server.take_group(number)?;
        let closes = self.rows.closes.take_group(number)?;
        let relation = *self
            .relation
            .get_or_insert_with(|| relation_by_times(&client, &server));
        let is_one = matches!(relation, ClockRelation::One | ClockRelation::AssumedOne);
        let offset = if is_one {
            Offset::None
        } else {
            Offset::Roughly(rough_offset(&client, &server).unwrap_or(0))
        };
        let mut matched = match_by_port(&client, &server, offset);
        join.connections.by_port += matched.identities.len() as u64;
        join.connections.unmatched += matched.client_alone.len() as u64;
        let mut known = Known::default();
        // No record of an older connection says where among its bytes it belongs.
        matched.client_alone.retain(|connection| {
            let opening_ns = on_server(connection.opening_ns, offset.ns());
            let is_older = opening_ns < source.window.from_ns;
            if is_older {
                known.causes.insert(connection.connection, cause::OLDER);
            }
            !is_older
        });
        if matched.client_alone.is_empty() {
            known.identities = matched.identities;
        } else if is_one {
            let mut leftover = Leftover::new(&matched, &closes);
            known.identities = matched.identities;
            leftover.read(source, self.ahead(source)?, number)?;
            let settled = leftover.settle(&mut known);
            join.connections.by_content += settled;
            join.connections.unmatched -= settled;
        } else {
            by_port_alone(matched, &mut known);
        }
        Ok(Turn {
            known,
            relation,
            rough_offset_ns: (!is_one).then(|| offset.ns()),
        })
    }
}

/// What ports alone tell. Times of two clocks cannot tell connections apart before their offset is known,
/// and it is known from connections.
fn by_port_alone(matched: Matched, known: &mut Known) {
    let has_foreign_ports = matched.has_foreign_ports();
    for connection in &matched.client_alone {
        let number = connection.connection;
        let cause = if matched.ambiguous.contains(&number) {
            cause::AMBIGUOUS
        } else if has_foreign_ports {
            cause::PORTS_DIFFER
        } else {
            cause::NOT_SEEN
        };
        known.causes.insert(number, cause);
    }
    known.identities = matched.identities;
}

/// Whether the connections of a group fit one clock.
fn relation_by_times(client: &[ClientConnection], server: &[ServerConnection]) -> ClockRelation {
    match rough_offset(client, server) {
        Some(offset_ns) if !ACCEPTED_SOON_NS.contains(&offset_ns) => ClockRelation::AssumedTwo,
        _ => ClockRelation::AssumedOne,
    }
}
