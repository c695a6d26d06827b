//! What a schema says of one value, gathered from all that describe it together.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value};

use super::document::Document;
use super::fields::texts;

/// Schemas that all have to hold.
pub(crate) type Together<'a> = Vec<&'a Value>;

/// Types of JSON as a set. An integer is a number, so `integer` is a part of `number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Types(u8);

impl Types {
    pub(crate) const NONE: Types = Types(0);
    pub(crate) const NULL: Types = Types(1);
    pub(crate) const BOOLEAN: Types = Types(2);
    pub(crate) const INTEGER: Types = Types(4);
    const FRACTION: Types = Types(8);
    pub(crate) const NUMBER: Types = Types(12);
    pub(crate) const STRING: Types = Types(16);
    pub(crate) const ARRAY: Types = Types(32);
    pub(crate) const OBJECT: Types = Types(64);
    pub(crate) const ALL: Types = Types(127);
    /// Each type by itself.
    pub(crate) const EACH: [Types; 6] =
        [Types::NULL, Types::BOOLEAN, Types::NUMBER, Types::STRING, Types::ARRAY, Types::OBJECT];

    pub(crate) fn and(self, other: Types) -> Types {
        Types(self.0 & other.0)
    }

    pub(crate) fn without(self, other: Types) -> Types {
        Types(self.0 & !other.0)
    }

    fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    pub(crate) fn is_none(self) -> bool {
        self == Types::NONE
    }

    pub(crate) fn meets(self, other: Types) -> bool {
        !self.and(other).is_none()
    }

    fn named(name: &str) -> Types {
        match name {
            "null" => Types::NULL,
            "boolean" => Types::BOOLEAN,
            "integer" => Types::INTEGER,
            "number" => Types::NUMBER,
            "string" => Types::STRING,
            "array" => Types::ARRAY,
            "object" => Types::OBJECT,
            _ => Types::NONE,
        }
    }

    /// The type of a value.
    pub(crate) fn of(value: &Value) -> Types {
        match value {
            Value::Null => Types::NULL,
            Value::Bool(_) => Types::BOOLEAN,
            Value::Number(number) if Amount::of(number).is_whole() => Types::INTEGER,
            Value::Number(_) => Types::FRACTION,
            Value::String(_) => Types::STRING,
            Value::Array(_) => Types::ARRAY,
            Value::Object(_) => Types::OBJECT,
        }
    }

    /// The types in words: `an integer or null`.
    pub(crate) fn words(self) -> String {
        if self == Types::ALL {
            return "anything".to_owned();
        }
        let words = [
            (Types::STRING, "a text"),
            (Types::NUMBER, "a number"),
            (Types::OBJECT, "an object"),
            (Types::ARRAY, "a list"),
            (Types::BOOLEAN, "true or false"),
            (Types::NULL, "null"),
        ];
        let words =
            words.into_iter().filter(|(types, _)| self.meets(*types)).map(|(types, word)| match self.and(types) {
                Types::INTEGER => "an integer",
                Types::FRACTION => "a number with a fraction",
                _ => word,
            });
        let words: Vec<_> = words.collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join(" or ") }
    }
}

/// A number that can be compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    whole: Option<i128>,
    float: f64,
}

impl Amount {
    pub(crate) fn of(number: &Number) -> Amount {
        let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
        let float = number.as_f64().unwrap_or_default();
        /// Up to here every whole number is a float of its own.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let whole = whole.or_else(|| (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i128));
        Amount { whole, float }
    }

    fn whole(whole: i128) -> Amount {
        Amount { whole: Some(whole), float: whole as f64 }
    }

    fn is_whole(self) -> bool {
        self.whole.is_some() || self.float.fract() == 0.0
    }

    pub(crate) fn cmp(self, other: Amount) -> Ordering {
        match (self.whole, other.whole) {
            (Some(own), Some(other)) => own.cmp(&other),
            _ => self.float.total_cmp(&other.float),
        }
    }

    /// Whether every multiple of this is one of the other, as far as that is certain.
    pub(crate) fn is_multiple_of(self, other: Amount) -> bool {
        match (self.whole, other.whole) {
            (Some(own), Some(other)) => other != 0 && own % other == 0,
            _ => self.cmp(other).is_eq(),
        }
    }

    pub(crate) fn word(self) -> String {
        self.whole.map_or_else(|| self.float.to_string(), |whole| whole.to_string())
    }
}

/// An end of a range of numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) amount: Amount,
    pub(crate) is_excluded: bool,
}

impl End {
    /// How far in it lies, for a lower end: the greater, the fewer numbers are left. For an upper end turn it round.
    pub(crate) fn cmp_lower(self, other: End) -> Ordering {
        self.amount.cmp(other.amount).then(self.is_excluded.cmp(&other.is_excluded))
    }

    pub(crate) fn cmp_upper(self, other: End) -> Ordering {
        other.amount.cmp(self.amount).then(self.is_excluded.cmp(&other.is_excluded))
    }

    /// The same end for integers.
    pub(crate) fn for_integers(self, is_lower: bool) -> End {
        let Some(whole) = self.amount.whole else { return self };
        let step = if is_lower { 1 } else { -1 };
        End { amount: Amount::whole(if self.is_excluded { whole + step } else { whole }), is_excluded: false }
    }

    pub(crate) fn word(self) -> String {
        format!("{}{}", self.amount.word(), if self.is_excluded { " (excluded)" } else { "" })
    }
}

/// How a part of a schema describes members: its own names, patterns of names, and all others.
pub(crate) struct Members<'a> {
    names: BTreeSet<&'a str>,
    pub(crate) patterns: Vec<&'a str>,
    properties: Option<&'a Map<String, Value>>,
    by_pattern: Option<&'a Map<String, Value>>,
    rest: Option<&'a Value>,
}

/// What is said of one value.
#[derive(Default)]
pub(crate) struct Facts<'a> {
    pub(crate) types: Option<Types>,
    /// The values that are allowed, by what makes them equal; those that nothing else here forbids.
    pub(crate) values: Option<BTreeMap<String, &'a Value>>,
    pub(crate) lower: Option<End>,
    pub(crate) upper: Option<End>,
    pub(crate) multiples: Vec<Amount>,
    /// `minLength` and the like: the greatest of the minima, the least of the maxima.
    pub(crate) limits: BTreeMap<&'static str, u64>,
    pub(crate) patterns: BTreeSet<&'a str>,
    pub(crate) formats: BTreeSet<&'a str>,
    pub(crate) is_unique: bool,
    pub(crate) required: BTreeSet<&'a str>,
    pub(crate) members: Vec<Members<'a>>,
    first_items: Vec<(&'a [Value], Option<&'a Value>)>,
    pub(crate) default: Option<&'a Value>,
    /// Alternatives of which one at least has to hold, each list by itself.
    pub(crate) unions: Vec<Vec<&'a Value>>,
    /// What is compared by its text alone, by its keyword.
    pub(crate) opaque: BTreeMap<&'static str, Vec<Vec<&'a Value>>>,
}

/// The keywords of [`Facts::limits`], and whether each is a minimum.
pub(crate) const LIMITS: [(&str, bool, Types); 6] = [
    ("minLength", true, Types::STRING),
    ("maxLength", false, Types::STRING),
    ("minItems", true, Types::ARRAY),
    ("maxItems", false, Types::ARRAY),
    ("minProperties", true, Types::OBJECT),
    ("maxProperties", false, Types::OBJECT),
];

impl<'a> Facts<'a> {
    /// Gathers what schemas that hold together say. `is_exclusive` says of the alternatives of a `oneOf` whether never two
    /// of them hold: then it is as good as an `anyOf`.
    pub(crate) fn of(
        document: &'a Document,
        together: &[&'a Value],
        within: Types,
        is_exclusive: &mut dyn FnMut(&'a [Value]) -> bool,
    ) -> Facts<'a> {
        let mut facts = Facts { types: Some(within), ..Facts::default() };
        for schema in closure(document, together) {
            match schema {
                Value::Bool(false) => facts.types = Some(Types::NONE),
                Value::Object(members) => facts.add(document, schema, members, is_exclusive),
                _ => {}
            }
        }
        facts.settle();
        facts
    }

    pub(crate) fn types(&self) -> Types {
        self.types.unwrap_or(Types::ALL)
    }

    fn add(
        &mut self,
        document: &'a Document,
        schema: &'a Value,
        members: &'a Map<String, Value>,
        is_exclusive: &mut dyn FnMut(&'a [Value]) -> bool,
    ) {
        let one = |keyword: &str| members.get(keyword);
        match one("type") {
            Some(Value::String(name)) => self.types = Some(self.types().and(Types::named(name))),
            Some(list @ Value::Array(_)) => {
                let types = texts(Some(list)).into_iter().map(Types::named).fold(Types::NONE, Types::or);
                self.types = Some(self.types().and(types));
            }
            _ => {}
        }
        let listed = one("enum").and_then(Value::as_array).map(|values| values.iter().collect::<Vec<_>>());
        for values in [listed, one("const").map(|value| vec![value])].into_iter().flatten() {
            let mut values: BTreeMap<String, &Value> = values.into_iter().map(|value| (key(value), value)).collect();
            if let Some(known) = self.values.take() {
                values.retain(|key, _| known.contains_key(key));
            }
            self.values = Some(values);
        }
        for (keyword, is_excluded) in [("minimum", false), ("exclusiveMinimum", true)] {
            if let Some(Value::Number(number)) = one(keyword) {
                let end = End { amount: Amount::of(number), is_excluded };
                self.lower = Some(self.lower.filter(|known| known.cmp_lower(end).is_ge()).unwrap_or(end));
            }
        }
        for (keyword, is_excluded) in [("maximum", false), ("exclusiveMaximum", true)] {
            if let Some(Value::Number(number)) = one(keyword) {
                let end = End { amount: Amount::of(number), is_excluded };
                self.upper = Some(self.upper.filter(|known| known.cmp_upper(end).is_ge()).unwrap_or(end));
            }
        }
        if let Some(Value::Number(number)) = one("multipleOf") {
            self.multiples.push(Amount::of(number));
        }
        for (keyword, is_minimum, _) in LIMITS {
            // A limit may be written `3.0`.
            let limit =
                one(keyword).and_then(|limit| limit.as_u64().or_else(|| limit.as_f64().map(|limit| limit as u64)));
            if let Some(limit) = limit {
                let known = self.limits.entry(keyword).or_insert(limit);
                *known = if is_minimum { limit.max(*known) } else { limit.min(*known) };
            }
        }
        self.patterns.extend(one("pattern").and_then(Value::as_str));
        self.formats.extend(one("format").and_then(Value::as_str));
        self.is_unique |= one("uniqueItems") == Some(&Value::Bool(true));
        self.required.extend(texts(one("required")));
        self.default = self.default.or(one("default"));
        let first = one("prefixItems").and_then(Value::as_array).map_or(&[][..], |items| items);
        if !first.is_empty() || one("items").is_some() {
            self.first_items.push((first, one("items")));
        }
        self.add_members(document, schema, members);
        self.add_alternatives(members, is_exclusive);
    }

    fn add_members(&mut self, document: &'a Document, schema: &'a Value, members: &'a Map<String, Value>) {
        let objects = |keyword: &str| members.get(keyword).and_then(Value::as_object);
        let (properties, by_pattern) = (objects("properties"), objects("patternProperties"));
        let rest = members.get("additionalProperties");
        if properties.is_some() || by_pattern.is_some() || rest.is_some() {
            self.members.push(Members {
                names: properties.into_iter().flatten().map(|(name, _)| &**name).collect(),
                patterns: by_pattern.into_iter().flatten().map(|(pattern, _)| &**pattern).collect(),
                properties,
                by_pattern,
                rest,
            });
        }
        let Some(left) = members.get("unevaluatedProperties") else { return };
        // What is left over is known where no alternative takes a part of it.
        let around = closure(document, &[schema]);
        let around: Vec<_> = around.into_iter().filter_map(Value::as_object).collect();
        let alternatives = ["anyOf", "oneOf", "if", "dependentSchemas", "not"];
        if around.iter().any(|part| alternatives.iter().any(|keyword| part.contains_key(*keyword))) {
            self.opaque.entry("unevaluatedProperties").or_default().push(vec![left]);
        } else if !around.iter().any(|part| part.contains_key("additionalProperties")) {
            let names = |keyword: &str| {
                let objects = around.iter().filter_map(|part| part.get(keyword)?.as_object()).collect::<Vec<_>>();
                objects.into_iter().flatten().map(|(name, _)| &**name)
            };
            self.members.push(Members {
                names: names("properties").collect(),
                patterns: names("patternProperties").collect(),
                properties: None,
                by_pattern: None,
                rest: Some(left),
            });
        }
    }

    fn add_alternatives(&mut self, members: &'a Map<String, Value>, is_exclusive: &mut dyn FnMut(&'a [Value]) -> bool) {
        if let Some(alternatives) = members.get("anyOf").and_then(Value::as_array) {
            self.unions.push(alternatives.iter().collect());
        }
        if let Some(alternatives) = members.get("oneOf").and_then(Value::as_array) {
            if is_exclusive(alternatives) {
                self.unions.push(alternatives.iter().collect());
            } else {
                self.opaque.entry("oneOf").or_default().push(alternatives.iter().collect());
            }
        }
        if let (Some(condition), true) =
            (members.get("if"), members.contains_key("then") || members.contains_key("else"))
        {
            let branch = |keyword: &str| members.get(keyword).unwrap_or(&Value::Bool(true));
            self.opaque.entry("if").or_default().push(vec![condition, branch("then"), branch("else")]);
        }
        if let Some(contained) = members.get("contains") {
            let count = |keyword: &str| members.get(keyword).unwrap_or(&Value::Null);
            self.opaque.entry("contains").or_default().push(vec![
                contained,
                count("minContains"),
                count("maxContains"),
            ]);
        }
        for keyword in ["not", "propertyNames", "dependentRequired", "dependentSchemas", "unevaluatedItems"] {
            if let Some(value) = members.get(keyword) {
                self.opaque.entry(keyword).or_default().push(vec![value]);
            }
        }
    }

    /// Lets the facts bound each other.
    fn settle(&mut self) {
        if !self.types().meets(Types::NUMBER.without(Types::INTEGER)) {
            self.lower = self.lower.map(|end| end.for_integers(true));
            self.upper = self.upper.map(|end| end.for_integers(false));
        }
        let Some(mut values) = self.values.take() else { return };
        values.retain(|_, value| self.allows(value));
        let types = values.values().map(|value| Types::of(value)).fold(Types::NONE, Types::or);
        self.types = Some(self.types().and(types));
        self.values = Some(values);
    }

    /// Whether a value of an `enum` is within the bounds that stand beside it.
    pub(crate) fn allows(&self, value: &Value) -> bool {
        let is_within = match value {
            Value::Number(number) => {
                let at = End { amount: Amount::of(number), is_excluded: false };
                self.lower.is_none_or(|end| at.cmp_lower(end).is_ge())
                    && self.upper.is_none_or(|end| at.cmp_upper(end).is_ge())
            }
            Value::String(text) => {
                let length = text.chars().count() as u64;
                self.limits.get("minLength").is_none_or(|least| length >= *least)
                    && self.limits.get("maxLength").is_none_or(|most| length <= *most)
            }
            _ => true,
        };
        is_within && self.types().meets(Types::of(value))
    }

    /// The members that are named.
    pub(crate) fn names(&self) -> BTreeSet<&'a str> {
        let named = self.members.iter().filter_map(|members| members.properties);
        named.flatten().map(|(name, _)| &**name).chain(self.required.iter().copied()).collect()
    }

    /// What describes a member.
    pub(crate) fn member(&self, name: &str, matches: &mut dyn FnMut(&'a str, &str) -> bool) -> Together<'a> {
        let mut together = Vec::new();
        for members in &self.members {
            let mut is_known = members.names.contains(name);
            together.extend(members.properties.and_then(|properties| properties.get(name)));
            for pattern in &members.patterns {
                if matches(pattern, name) {
                    is_known = true;
                    together.extend(members.by_pattern.and_then(|patterns| patterns.get(*pattern)));
                }
            }
            together.extend(members.rest.filter(|_| !is_known));
        }
        together
    }

    /// What describes every member that is not named.
    pub(crate) fn rest(&self) -> Together<'a> {
        self.members.iter().filter_map(|members| members.rest).collect()
    }

    /// What describes the members whose names match one pattern and are not named.
    pub(crate) fn by_pattern(&self) -> BTreeMap<&'a str, Together<'a>> {
        let patterns: BTreeSet<&str> =
            self.members.iter().flat_map(|members| members.patterns.iter().copied()).collect();
        let describing = |pattern: &str| {
            let of_one = |members: &Members<'a>| {
                members
                    .by_pattern
                    .and_then(|patterns| patterns.get(pattern))
                    .or_else(|| members.rest.filter(|_| !members.patterns.contains(&pattern)))
            };
            self.members.iter().filter_map(of_one).collect()
        };
        patterns.into_iter().map(|pattern| (pattern, describing(pattern))).collect()
    }

    /// How many items are described by their places.
    pub(crate) fn first_items(&self) -> usize {
        self.first_items.iter().map(|(first, _)| first.len()).max().unwrap_or_default()
    }

    /// What describes the item at a place.
    pub(crate) fn item(&self, place: usize) -> Together<'a> {
        let item = |(first, rest): &(&'a [Value], Option<&'a Value>)| first.get(place).or(*rest);
        self.first_items.iter().filter_map(item).collect()
    }
}

/// Schemas with all that hold together with them.
pub(crate) fn closure<'a>(document: &'a Document, together: &[&'a Value]) -> Vec<&'a Value> {
    let mut all = Vec::new();
    let mut left: Vec<&Value> = together.iter().rev().copied().collect();
    while let Some(schema) = left.pop() {
        all.push(schema);
        left.extend(schema.get("allOf").and_then(Value::as_array).into_iter().flatten().rev());
        left.extend(schema.get("$ref").and_then(Value::as_str).and_then(|reference| document.resolve(reference)));
    }
    all
}

/// What makes two values equal: `1` and `1.0` are.
pub(crate) fn key(value: &Value) -> String {
    match value {
        Value::Number(number) => Amount::of(number).word(),
        Value::Array(items) => format!("[{}]", items.iter().map(key).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().collect();
            let members = members.into_iter().map(|(name, value)| format!("{}:{}", Value::from(&**name), key(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}
