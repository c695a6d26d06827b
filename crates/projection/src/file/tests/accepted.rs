//! Files that run, and what becomes of them.

use crate::file::{Makes, Mode, On, Piece, Projection, Source, listed};

pub(super) const STATUS: &str = "-- projection: application_status
-- version: 1
-- mode: async
-- category: application

CREATE TABLE application_status (
    application TEXT PRIMARY KEY,
    status      TEXT NOT NULL,
    events      BIGINT NOT NULL,
    step        BIGINT NOT NULL
);

-- on: *
INSERT INTO application_status (application, status, events, step)
VALUES (:stream, :type, 1, :data.step)
ON CONFLICT (application) DO UPDATE
SET status = excluded.status, events = application_status.events + 1, step = excluded.step;
";

pub(super) const FUNNEL: &str = "-- projection: funnel
-- version: 1
-- category: application

CREATE TABLE funnel (type TEXT NOT NULL, month TEXT NOT NULL, events BIGINT NOT NULL, PRIMARY KEY (type, month));

-- on batch:
INSERT INTO funnel (type, month, events)
SELECT type, substr(CAST(occurred_at AS TEXT), 1, 7), count(*) FROM batch WHERE true GROUP BY 1, 2
ON CONFLICT (type, month) DO UPDATE SET events = funnel.events + excluded.events;
";

pub(super) const GAUGE: &str = "-- projection: gauge
-- version: 1
-- mode: sync
-- types: GaugeRead

CREATE TABLE gauge (gauge TEXT PRIMARY KEY, value BIGINT NOT NULL CHECK (value >= 0));

-- on: GaugeRead
INSERT INTO gauge (gauge, value) VALUES (:stream, :data.value)
ON CONFLICT (gauge) DO UPDATE SET value = excluded.value;
";

pub(super) fn parsed(text: &str) -> Projection {
    Projection::parse("a.sql", text).unwrap_or_else(|findings| panic!("{}\n{text}", listed(&findings)))
}

#[test]
fn a_file_for_each_event_is_taken_apart() {
    let projection = parsed(STATUS);
    assert_eq!((projection.name.as_str(), projection.version, projection.mode), ("application_status", 1, Mode::Async));
    assert_eq!(projection.relations().collect::<Vec<_>>(), ["application_status"]);
    assert_eq!(projection.definitions[0].makes, Makes::Table("application_status".to_owned()));
    assert_eq!(projection.definitions[0].line, 6);
    let [handler] = &projection.handlers[..] else { panic!("one handler") };
    assert_eq!((&handler.on, handler.line), (&On::Every, 13));
    let [statement] = &handler.statements[..] else { panic!("one statement") };
    let values: Vec<_> = statement.values().map(|value| (value.source.to_string(), value.line, value.column)).collect();
    assert_eq!(
        values,
        [(":stream".to_owned(), 15, 9), (":type".to_owned(), 15, 18), (":data.step".to_owned(), 15, 28)]
    );
    assert!(!projection.excludes_system());
    assert_eq!(projection.filter().categories[0].as_str(), "application");
    assert!(statement.pieces.contains(&Piece::Sql(", 1, ".to_owned())));
    assert_eq!(statement.values().next().map(|value| &value.source), Some(&Source::Stream));
}

#[test]
fn a_file_for_batches_and_one_in_the_appends_transaction_are_taken_apart() {
    let funnel = parsed(FUNNEL);
    assert_eq!(funnel.handlers[0].on, On::Batch);
    assert_eq!(funnel.handlers[0].statements[0].values().count(), 0);
    let gauge = parsed(GAUGE);
    assert_eq!(gauge.mode, Mode::Sync);
    assert_eq!(gauge.filter().types[0].as_str(), "GaugeRead");
}
