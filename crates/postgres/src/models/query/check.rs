//! What a query may be: one SELECT, VALUES or WITH of such (or EXPLAIN of one), over the relations people query, calling
//! functions of the list.
//!
//! Two looks at the same text. The parser's tree is walked, and every kind of node that is not known here is refused. And
//! the tokens are passed once more without a parser: where a name stands before `(`, it is a function of the list, a word of
//! the grammar, or one of the aliases that the tree has with columns behind them. What the parser might read otherwise than
//! PostgreSQL does not get through both.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    DescribeAlias, Expr, Function, FunctionArguments, Ident, ObjectName, Query, Select, SelectFlavor, SetExpr,
    Statement, TableAlias, TableFactor, Value, Visit, Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::plain::{Plain, Token, plain};
use crate::models::functions;

/// How deep the parser goes into what is nested; a bracket takes it some steps.
const NESTING_MAX: usize = 200;
/// Where the list is told to people.
const LIST: &str = "the functions that may are in docs/reference/sql-queries.md";
/// Words of the grammar that stand before `(`, and types that take a length. None of them is the name of a function that
/// does anything but compute.
const BEFORE_BRACKET: &[&str] = &[
    "all",
    "and",
    "any",
    "array",
    "as",
    "between",
    "bit",
    "both",
    "bpchar",
    "by",
    "case",
    "cast",
    "char",
    "character",
    "coalesce",
    "cube",
    "current_time",
    "current_timestamp",
    "dec",
    "decimal",
    "distinct",
    "else",
    "escape",
    "except",
    "exists",
    "filter",
    "first",
    "float",
    "for",
    "from",
    "greatest",
    "group",
    "grouping",
    "groups",
    "having",
    "ilike",
    "in",
    "intersect",
    "interval",
    "join",
    "lateral",
    "leading",
    "least",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "materialized",
    "next",
    "not",
    "nullif",
    "numeric",
    "offset",
    "on",
    "or",
    "over",
    "partition",
    "placing",
    "range",
    "rollup",
    "row",
    "rows",
    "select",
    "sets",
    "similar",
    "some",
    "symmetric",
    "then",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "to",
    "trailing",
    "trim",
    "union",
    "using",
    "values",
    "varbit",
    "varchar",
    "variadic",
    "varying",
    "when",
    "where",
    "zone",
];
/// Functions that are grammar and not in the catalogue.
const GRAMMAR: &[&str] = &["coalesce", "greatest", "grouping", "least", "nullif", "row"];
/// Functions without brackets.
const BARE: &[&str] = &["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"];
/// The same, telling who asks.
const WHO: &[&str] =
    &["current_catalog", "current_role", "current_schema", "current_user", "session_user", "system_user", "user"];
/// What may be cast to: types of data. Not `xml`, whose reader is a world of its own, nor those that look into the catalogue.
const TYPES: &[&str] = &[
    "bigint",
    "bit",
    "bit varying",
    "bool",
    "boolean",
    "box",
    "bpchar",
    "bytea",
    "char",
    "char varying",
    "character",
    "character varying",
    "cidr",
    "circle",
    "date",
    "datemultirange",
    "daterange",
    "dec",
    "decimal",
    "double",
    "double precision",
    "float",
    "float4",
    "float8",
    "inet",
    "int",
    "int2",
    "int4",
    "int4multirange",
    "int4range",
    "int8",
    "int8multirange",
    "int8range",
    "integer",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numeric",
    "nummultirange",
    "numrange",
    "path",
    "point",
    "polygon",
    "real",
    "regconfig",
    "smallint",
    "text",
    "time",
    "time with time zone",
    "time without time zone",
    "timestamp",
    "timestamp with time zone",
    "timestamp without time zone",
    "timestamptz",
    "timetz",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
    "uuid",
    "varbit",
    "varchar",
];

/// A query that may run.
#[derive(Debug)]
pub(super) struct Checked {
    /// What to send: the query, plain.
    pub(super) text: String,
    /// The relations it names, each once, without their schema. One of a WITH may be among them.
    pub(super) relations: Vec<String>,
    /// Whether it is EXPLAIN.
    pub(super) is_explain: bool,
}

/// Checks a query. Relations stand without a schema, or with `schema` if there is one.
///
/// # Errors
/// What it may not, and what to do instead.
pub(super) fn check(sql: &str, schema: Option<&str>) -> Result<Checked, String> {
    let plain = plain(sql)?;
    check_words(&plain.tokens)?;
    let dialect = PostgreSqlDialect {};
    let parser = Parser::new(&dialect).with_recursion_limit(NESTING_MAX).try_with_sql(&plain.text);
    let mut parsed = parser
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| format!("the query cannot be read: {}", explain(&error.to_string())))?;
    let (Some(statement), true) = (parsed.pop(), parsed.is_empty()) else {
        return Err("a query is one statement".to_owned());
    };
    let (query, is_explain) = asked(statement)?;
    let mut walls = Walls { schema, relations: Vec::new(), tables: 0, named: 0, aliases: HashMap::new() };
    if let ControlFlow::Break(problem) = query.visit(&mut walls) {
        return Err(problem);
    }
    if walls.tables != walls.named {
        return Err("the query names a relation where none can stand".to_owned());
    }
    check_calls(&plain, walls.aliases)?;
    let mut relations = walls.relations;
    relations.sort_unstable();
    relations.dedup();
    Ok(Checked { text: plain.text, relations, is_explain })
}

/// Without the parser's prefix.
fn explain(error: &str) -> &str {
    error.strip_prefix("sql parser error: ").unwrap_or(error)
}

fn asked(statement: Statement) -> Result<(Box<Query>, bool), String> {
    match statement {
        Statement::Query(query) => Ok((query, false)),
        Statement::Explain {
            describe_alias: DescribeAlias::Explain,
            analyze: false,
            verbose: _,
            query_plan: false,
            estimate: false,
            statement,
            format: None,
            options: None,
        } => match *statement {
            Statement::Query(query) => Ok((query, true)),
            _ => Err("only a query can be explained".to_owned()),
        },
        Statement::Explain { .. } => {
            Err("EXPLAIN has no options here but VERBOSE: ANALYZE would run the query".to_owned())
        }
        _ => Err(READS_ONLY.to_owned()),
    }
}

const READS_ONLY: &str = "a query only reads: write one SELECT, VALUES or WITH … SELECT";

/// What can be said without a parser: how it begins, and that INTO, which is reserved, stands nowhere.
fn check_words(tokens: &[Token]) -> Result<(), String> {
    let mut first = tokens.iter().filter(|token| **token != Token::Sign(b'('));
    let begins = |token: Option<&Token>| matches!(token, Some(Token::Word(word)) if matches!(word.as_str(), "select" | "values" | "with"));
    let is_explained = matches!(tokens.first(), Some(Token::Word(word)) if word == "explain");
    let begins_well = if is_explained {
        let is_verbose = matches!(tokens.get(1), Some(Token::Word(word)) if word == "verbose");
        begins(tokens.get(1 + usize::from(is_verbose)))
    } else {
        begins(first.next())
    };
    if !begins_well {
        let hint = if is_explained {
            "EXPLAIN has no options here but VERBOSE: ANALYZE would run the query"
        } else {
            READS_ONLY
        };
        return Err(hint.to_owned());
    }
    if tokens.iter().any(|token| matches!(token, Token::Word(word) if word == "into")) {
        return Err("SELECT INTO writes: leave INTO out, or write quotes around the name \"into\"".to_owned());
    }
    Ok(())
}

/// Every name before `(` is a function of the list, a word of the grammar, or one of the aliases with columns.
fn check_calls(plain: &Plain, mut aliases: HashMap<String, usize>) -> Result<(), String> {
    for (at, pair) in plain.tokens.windows(2).enumerate() {
        let (name, is_word) = match &pair[0] {
            Token::Word(name) => (name, true),
            Token::Name(name) => (name, false),
            _ => continue,
        };
        if pair[1] != Token::Sign(b'(') {
            continue;
        }
        let before = |back: usize| at.checked_sub(back).map(|index| &plain.tokens[index]);
        let is_qualified = before(1) == Some(&Token::Sign(b'.'));
        if is_qualified {
            let is_known = match (before(2), before(3)) {
                (_, Some(Token::Sign(b'.'))) => false,
                (Some(Token::Word(schema) | Token::Name(schema)), _) => schema == "pg_catalog",
                _ => false,
            };
            if !is_known || !functions::is_allowed(name) {
                return Err(uncallable(name));
            }
            continue;
        }
        if functions::is_allowed(name) || is_word && BEFORE_BRACKET.contains(&name.as_str()) {
            continue;
        }
        match aliases.get_mut(name) {
            Some(left) if *left > 0 => *left -= 1,
            _ => return Err(uncallable(name)),
        }
    }
    Ok(())
}

fn uncallable(name: &str) -> String {
    format!("`{}` may not be called in a query; {LIST}", name.escape_debug())
}

/// The walls that the tree runs into.
struct Walls<'a> {
    /// The one schema that may stand before a relation.
    schema: Option<&'a str>,
    relations: Vec<String>,
    /// Names of relations that were met anywhere, and those that were looked at.
    tables: usize,
    named: usize,
    /// Aliases with columns behind them, which look like calls.
    aliases: HashMap<String, usize>,
}

/// As PostgreSQL has it: without quotes, in lower case.
fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

fn parts(name: &ObjectName) -> Option<Vec<String>> {
    name.0.iter().map(|part| part.as_ident().map(folded)).collect()
}

fn refuse<T>(problem: impl Into<String>) -> Result<T, String> {
    Err(problem.into())
}

const OTHERS: &str = "the query has a part that is not PostgreSQL's: write it more plainly";

impl Walls<'_> {
    fn relation(&mut self, name: &ObjectName) -> Result<(), String> {
        let parts = parts(name).ok_or(OTHERS)?;
        let relation = match parts.as_slice() {
            [relation] => relation,
            [schema, relation] if Some(schema.as_str()) == self.schema => relation,
            _ => {
                return refuse(format!(
                    "`{}` may not be queried: name the tables of projections, and `events`, without a schema",
                    parts.join(".").escape_debug()
                ));
            }
        };
        if relation.starts_with("pg_") {
            return refuse(format!("`{}` may not be queried: it is PostgreSQL's own", relation.escape_debug()));
        }
        self.relations.push(relation.clone());
        self.named += 1;
        Ok(())
    }

    fn alias(&mut self, alias: Option<&TableAlias>) -> Result<(), String> {
        let Some(alias) = alias else { return Ok(()) };
        if alias.at.is_some() {
            return refuse(OTHERS);
        }
        for column in &alias.columns {
            column.data_type.as_ref().map_or(Ok(()), check_type)?;
        }
        if !alias.columns.is_empty() {
            *self.aliases.entry(folded(&alias.name)).or_default() += 1;
        }
        Ok(())
    }

    fn query(&mut self, query: &Query) -> Result<(), String> {
        let Query {
            with,
            body,
            order_by: _,
            limit_clause: _,
            fetch: _,
            locks,
            for_clause: None,
            settings: None,
            format_clause: None,
            pipe_operators,
        } = query
        else {
            return refuse(OTHERS);
        };
        if !locks.is_empty() {
            return refuse("a query locks no rows: leave FOR UPDATE or FOR SHARE out");
        }
        if !pipe_operators.is_empty() {
            return refuse(OTHERS);
        }
        for table in with.iter().flat_map(|with| &with.cte_tables) {
            if table.from.is_some() {
                return refuse(OTHERS);
            }
            self.alias(Some(&table.alias))?;
        }
        check_body(body)
    }

    fn factor(&mut self, factor: &TableFactor) -> Result<(), String> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                self.relation(name)?;
                self.alias(alias.as_ref())
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                with_hints,
                version: None,
                with_ordinality: _,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty()
                && partitions.is_empty()
                && index_hints.is_empty()
                && args.settings.is_none() =>
            {
                // The walk takes the function's name for that of a relation.
                self.named += 1;
                check_name(name)?;
                self.alias(alias.as_ref())
            }
            TableFactor::Derived { lateral: _, subquery: _, alias, sample: None } => self.alias(alias.as_ref()),
            TableFactor::Function { lateral: _, name, args: _, with_ordinality: _, alias } => {
                check_name(name)?;
                self.alias(alias.as_ref())
            }
            TableFactor::UNNEST {
                alias,
                array_exprs: _,
                with_offset: false,
                with_offset_alias: None,
                with_ordinality: _,
            }
            | TableFactor::NestedJoin { table_with_joins: _, alias } => self.alias(alias.as_ref()),
            _ => refuse(
                "FROM has tables, subqueries and functions of the list, and nothing else; no TABLESAMPLE, no XMLTABLE",
            ),
        }
    }
}

/// The parts of a set operation: queries, all of them.
fn check_body(body: &SetExpr) -> Result<(), String> {
    // As deep as there are UNIONs, so not by recursion.
    let mut left = vec![body];
    while let Some(body) = left.pop() {
        match body {
            // Looked at when the walk comes to them.
            SetExpr::Select(_) | SetExpr::Query(_) => {}
            SetExpr::SetOperation { left: first, op: _, set_quantifier: _, right: second } => {
                left.push(first);
                left.push(second);
            }
            SetExpr::Values(values) if !values.explicit_row && !values.value_keyword => {}
            SetExpr::Values(_) => return refuse(OTHERS),
            SetExpr::Table(_) => return refuse("write SELECT * FROM for TABLE"),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                return refuse(READS_ONLY);
            }
        }
    }
    Ok(())
}

fn check_select(select: &Select) -> Result<(), String> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct: _,
        select_modifiers: None,
        top: None,
        top_before_distinct: _,
        projection: _,
        exclude: None,
        into,
        from: _,
        lateral_views,
        prewhere: None,
        selection: _,
        connect_by,
        group_by: _,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify: None,
        window_before_qualify: _,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    } = select
    else {
        return refuse(OTHERS);
    };
    if into.is_some() {
        return refuse("SELECT INTO writes: leave INTO out");
    }
    let of_others = [
        optimizer_hints.is_empty(),
        lateral_views.is_empty(),
        connect_by.is_empty(),
        cluster_by.is_empty(),
        distribute_by.is_empty(),
        sort_by.is_empty(),
    ];
    if of_others.contains(&false) { refuse(OTHERS) } else { Ok(()) }
}

/// Whether a function of this name may be called.
fn check_name(name: &ObjectName) -> Result<(), String> {
    let parts = parts(name).ok_or(OTHERS)?;
    let function = match parts.as_slice() {
        [function] => function,
        [schema, function] if schema == "pg_catalog" => function,
        _ => return Err(uncallable(&parts.join("."))),
    };
    if functions::is_allowed(function) { Ok(()) } else { Err(uncallable(function)) }
}

fn check_function(function: &Function) -> Result<(), String> {
    let Function {
        name,
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        within_group: _,
        filter: _,
        null_treatment: _,
        over: _,
    } = function
    else {
        return refuse(OTHERS);
    };
    let grammar = match name.0.as_slice() {
        [only] => only.as_ident().filter(|ident| ident.quote_style.is_none()).map(folded),
        _ => None,
    };
    let grammar = grammar.as_deref();
    match args {
        FunctionArguments::None if grammar.is_some_and(|name| BARE.contains(&name)) => Ok(()),
        FunctionArguments::None => Err(uncallable(&name.to_string())),
        FunctionArguments::Subquery(_) if grammar == Some("array") => Ok(()),
        FunctionArguments::Subquery(_) => refuse(OTHERS),
        // `current_timestamp(3)` has brackets.
        FunctionArguments::List(_) if grammar.is_some_and(|name| GRAMMAR.contains(&name) || BARE.contains(&name)) => {
            Ok(())
        }
        FunctionArguments::List(_) => check_name(name),
    }
}

/// Whether a value may be cast to a type.
fn check_type(data_type: &sqlparser::ast::DataType) -> Result<(), String> {
    let written = data_type.to_string().to_ascii_lowercase();
    let mut plain = String::new();
    let mut depth = 0_usize;
    for sign in written.chars() {
        match sign {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(sign),
            _ => {}
        }
    }
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain = plain.strip_prefix("pg_catalog.").unwrap_or(&plain);
    // `interval day to second`
    let is_interval = plain.starts_with("interval ");
    if TYPES.contains(&plain) || is_interval {
        Ok(())
    } else {
        refuse(format!(
            "nothing is cast to `{}` in a query: cast to text, numeric, timestamptz or another type of data",
            written.escape_debug()
        ))
    }
}

fn check_expression(expression: &Expr) -> Result<(), String> {
    match expression {
        Expr::Function(function) => check_function(function),
        Expr::Cast { kind: _, expr: _, data_type, format: None } => check_type(data_type),
        Expr::TypedString(typed) if !typed.uses_odbc_syntax => check_type(&typed.data_type),
        Expr::Identifier(name)
            if name.quote_style.is_none() && WHO.contains(&name.value.to_ascii_lowercase().as_str()) =>
        {
            Err(uncallable(&name.value))
        }
        Expr::Value(value) => match value.value {
            Value::Placeholder(_) => refuse("a query has no parameters: write the value"),
            _ => Ok(()),
        },
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::CompoundFieldAccess { .. }
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..)
        | Expr::IsJson { .. }
        | Expr::IsNormalized { .. }
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::Between { .. }
        | Expr::BinaryOp { .. }
        | Expr::Like { .. }
        | Expr::ILike { .. }
        | Expr::SimilarTo { .. }
        | Expr::AnyOp { .. }
        | Expr::AllOp { .. }
        | Expr::UnaryOp { .. }
        | Expr::AtTimeZone { .. }
        | Expr::Extract { .. }
        | Expr::Ceil { .. }
        | Expr::Floor { .. }
        | Expr::Position { .. }
        | Expr::Substring { .. }
        | Expr::Trim { .. }
        | Expr::Overlay { .. }
        | Expr::Collate { .. }
        | Expr::Nested(_)
        | Expr::Case { .. }
        | Expr::Exists { .. }
        | Expr::Subquery(_)
        | Expr::GroupingSets(_)
        | Expr::Cube(_)
        | Expr::Rollup(_)
        | Expr::Tuple(_)
        | Expr::Array(_)
        | Expr::Interval(_)
        | Expr::Wildcard(_)
        | Expr::QualifiedWildcard(..) => Ok(()),
        _ => refuse(OTHERS),
    }
}

fn go_on(checked: Result<(), String>) -> ControlFlow<String> {
    checked.map_or_else(ControlFlow::Break, ControlFlow::Continue)
}

impl Visitor for Walls<'_> {
    type Break = String;

    fn pre_visit_statement(&mut self, _: &Statement) -> ControlFlow<String> {
        // The walk begins at the query: what is met inside is an INSERT, an UPDATE, a DELETE.
        ControlFlow::Break(READS_ONLY.to_owned())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        go_on(self.query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        go_on(check_select(select))
    }

    fn pre_visit_relation(&mut self, _: &ObjectName) -> ControlFlow<String> {
        self.tables += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        go_on(self.factor(factor))
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<String> {
        go_on(check_expression(expression))
    }
}
