//! Warnings about the design of an event: nothing is refused for them.

use std::collections::HashSet;

use pacioli_core::EventType;

use crate::format::{Field, Schema};

/// More optional fields than this are several events in one.
const OPTIONAL_FIELDS_MAX: usize = 12;
/// Data beyond this is a document, and not a fact.
const DATA_BYTES_MAX: usize = 8 * 1024;

/// What could be better about a type and its schema, a sentence each.
pub fn lint(event_type: &EventType, schema: &Schema) -> Vec<String> {
    let name = event_type.as_str();
    // The system's own types are not up to anybody.
    if name.starts_with('$') {
        return Vec::new();
    }
    let words = words(name);
    let mut warnings = Vec::new();
    if !words.last().is_some_and(|word| is_past(word)) {
        warnings.push(format!(
            "`{name}` does not say what happened: an event's type ends in a past participle, like `OrderPlaced` or `order.paid`"
        ));
    }
    let optional = optional_fields(schema.fields());
    if optional > OPTIONAL_FIELDS_MAX {
        warnings.push(format!(
            "`{name}` has {optional} optional fields, and more than {OPTIONAL_FIELDS_MAX} are mostly several events in one: \
             give each thing that happens a type of its own, with the fields that it always has"
        ));
    }
    let names =
        schema.fields().iter().filter_map(|field| field.path.strip_prefix('/')).filter(|name| !name.contains('/'));
    for field in names.filter(|field| repeats_the_key(field, &words)) {
        warnings.push(format!(
            "`/{field}` repeats what the stream's name says already: the key behind its first `-` tells which one it is, and \
             two places can differ"
        ));
    }
    warnings
}

/// What could be better about data of this length in bytes.
pub fn lint_data(length: usize) -> Option<String> {
    (length > DATA_BYTES_MAX).then(|| {
        format!(
            "the event's data has {length} bytes, and more than {DATA_BYTES_MAX} are mostly a copy of state: store what \
             happened, and large documents elsewhere with their place and hash in the event"
        )
    })
}

/// The words of a name, in lower case: `OrderPlaced`, `order_placed` and `shop.order-placed` are written in words. A version
/// at its end (`V2`) is none of them.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in name.split(|c: char| !c.is_alphanumeric()) {
        let mut before = ' ';
        let mut characters = part.chars().peekable();
        let mut word = String::new();
        while let Some(c) = characters.next() {
            // A word begins at a capital behind a small letter, and at the last one of several: `PDFSent`, `HTTPCalled`.
            let starts = c.is_uppercase()
                && (!before.is_uppercase() || characters.peek().is_some_and(|next| next.is_lowercase()));
            if starts && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            word.extend(c.to_lowercase());
            before = c;
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    let is_version = |word: &String| word.trim_start_matches('v').bytes().all(|byte| byte.is_ascii_digit());
    while words.len() > 1 && words.last().is_some_and(is_version) {
        words.pop();
    }
    words
}

/// Whether a word says that something is over.
fn is_past(word: &str) -> bool {
    const ENDS_LIKE_ONE: [&str; 17] = [
        "bed", "bleed", "breed", "deed", "embed", "exceed", "feed", "greed", "hundred", "indeed", "need", "proceed",
        "red", "seed", "speed", "succeed", "weed",
    ];
    word.ends_with("ed") && word.len() > 2 && !ENDS_LIKE_ONE.contains(&word)
        || IRREGULAR.contains(&word)
        // Compounds: `overwritten`, `resent`, `rebuilt`, `unset`.
        || ["re", "over", "under", "un", "mis", "out", "pre", "up", "fore"]
            .iter()
            .any(|prefix| word.strip_prefix(prefix).is_some_and(|rest| IRREGULAR.contains(&rest)))
}

/// English participles that do not end in `ed`.
const IRREGULAR: [&str; 128] = [
    "arisen",
    "awoken",
    "beaten",
    "become",
    "been",
    "begun",
    "bent",
    "bet",
    "bid",
    "bitten",
    "blown",
    "born",
    "bought",
    "bound",
    "broadcast",
    "broken",
    "brought",
    "built",
    "burnt",
    "burst",
    "cast",
    "caught",
    "chosen",
    "come",
    "cost",
    "cut",
    "dealt",
    "done",
    "drawn",
    "driven",
    "drunk",
    "dug",
    "dwelt",
    "eaten",
    "fallen",
    "fed",
    "felt",
    "forbidden",
    "forgiven",
    "forgotten",
    "fought",
    "found",
    "frozen",
    "given",
    "gone",
    "got",
    "gotten",
    "grown",
    "had",
    "heard",
    "held",
    "hidden",
    "hit",
    "hurt",
    "kept",
    "known",
    "laid",
    "lain",
    "learnt",
    "led",
    "left",
    "lent",
    "let",
    "lit",
    "lost",
    "made",
    "meant",
    "met",
    "outdone",
    "paid",
    "proven",
    "put",
    "quit",
    "read",
    "ridden",
    "risen",
    "run",
    "said",
    "seen",
    "sent",
    "set",
    "sewn",
    "shaken",
    "shed",
    "shot",
    "shown",
    "shrunk",
    "shut",
    "slept",
    "slid",
    "sold",
    "sought",
    "sown",
    "spent",
    "split",
    "spoken",
    "spread",
    "spun",
    "stolen",
    "stood",
    "struck",
    "stuck",
    "stung",
    "sung",
    "sunk",
    "swept",
    "sworn",
    "swum",
    "taken",
    "taught",
    "thought",
    "thrown",
    "told",
    "torn",
    "understood",
    "undertaken",
    "upset",
    "wed",
    "withdrawn",
    "withheld",
    "withstood",
    "woken",
    "won",
    "worn",
    "wound",
    "woven",
    "written",
    "wrought",
];

/// How many fields may be missing where all around them is there.
fn optional_fields(fields: &[Field]) -> usize {
    let required: HashSet<&str> = fields.iter().filter(|field| field.is_required).map(|field| &*field.path).collect();
    let is_counted = |field: &&Field| {
        let parent = field.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let parent = parent.trim_end_matches("/*");
        !field.is_required && (parent.is_empty() || required.contains(parent))
    };
    fields.iter().filter(is_counted).count()
}

/// Whether a field is the key of what the event's type names first: `id`, or `order_id` of `OrderPlaced`.
fn repeats_the_key(field: &str, words: &[String]) -> bool {
    let plain: String = field.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let Some(owner) = plain.strip_suffix("id").or_else(|| plain.strip_suffix("key")) else { return false };
    let subject = &words[..words.len().saturating_sub(1)];
    owner.is_empty()
        || (1..=subject.len()).any(|count| subject[..count].concat() == owner)
        || subject.last().is_some_and(|noun| noun == owner)
}

#[cfg(test)]
mod tests {
    use pacioli_core::schemas::SchemaFormat;

    use super::*;

    fn warnings(event_type: &str, schema: &str) -> Vec<String> {
        let schema = Schema::parse(SchemaFormat::Json, schema, &[]).unwrap();
        lint(&EventType::new(event_type).unwrap(), &schema)
    }

    #[test]
    fn a_type_says_what_happened() {
        for past in [
            "OrderPlaced",
            "order_placed",
            "shop.order.placed",
            "MoneySent",
            "InvoicePaid",
            "OrderPlacedV2",
            "order.placed.v2",
            "PDFSent",
            "TripBegun",
            "ItemTaken",
            "MoneyWithdrawn",
            "LetterRewritten",
            "PriceSet",
            "PasswordReset",
            "account-opened",
            "OfferMadeV10",
            "KeyLost",
            "$anything",
        ] {
            assert_eq!(warnings(past, "{}"), Vec::<String>::new(), "{past}");
        }
        for present in
            ["PlaceOrder", "OrderUpdate", "order.create", "Feed", "DataFeed", "NewOrder", "OrderPlacing", "Order"]
        {
            let warnings = warnings(present, "{}");
            assert!(warnings.len() == 1 && warnings[0].contains("past participle"), "{present}: {warnings:?}");
        }
    }

    #[test]
    fn a_field_that_repeats_the_key_is_told() {
        let with =
            |event_type: &str, field: &str| warnings(event_type, &format!(r#"{{"properties":{{"{field}":{{}}}}}}"#));
        for (event_type, field) in [
            ("OrderPlaced", "order_id"),
            ("OrderPlaced", "orderId"),
            ("OrderPlaced", "OrderID"),
            ("OrderPlaced", "id"),
            ("OrderPlaced", "key"),
            ("shop.order.placed", "order-id"),
            ("PurchaseOrderPlaced", "purchase_order_id"),
        ] {
            let warnings = with(event_type, field);
            assert!(warnings.len() == 1 && warnings[0].contains(field), "{event_type} {field}: {warnings:?}");
        }
        for (event_type, field) in [("OrderPlaced", "customer_id"), ("OrderPlaced", "order"), ("OrderPlaced", "paid")] {
            assert_eq!(with(event_type, field), Vec::<String>::new(), "{event_type} {field}");
        }
        let nested = r#"{"properties":{"customer":{"properties":{"id":{}}}}}"#;
        assert_eq!(warnings("OrderPlaced", nested), Vec::<String>::new());
    }

    #[test]
    fn many_optional_fields_are_several_events() {
        let schema = |optional: usize| {
            let fields: Vec<_> = (0..optional).map(|number| format!(r#""f{number}":{{}}"#)).collect();
            format!(r#"{{"properties":{{"always":{{}},{}}},"required":["always"]}}"#, fields.join(","))
        };
        assert_eq!(warnings("OrderPlaced", &schema(12)), Vec::<String>::new());
        let told = warnings("OrderPlaced", &schema(13));
        assert!(told.len() == 1 && told[0].contains("13 optional fields"), "{told:?}");
        // What is missing with all around it is missing once.
        let inner: Vec<_> = (0..20).map(|number| format!(r#""f{number}":{{}}"#)).collect();
        let nested = format!(r#"{{"properties":{{"address":{{"properties":{{{}}}}}}}}}"#, inner.join(","));
        assert_eq!(warnings("OrderPlaced", &nested), Vec::<String>::new());
    }

    #[test]
    fn large_data_is_told() {
        assert_eq!(lint_data(8192), None);
        assert!(lint_data(8193).unwrap().contains("8193 bytes"));
    }
}
