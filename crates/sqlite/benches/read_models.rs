fn main() {
    let conn = rusqlite::Connection::open_in_memory().unwrap();
    let mut s = conn.prepare("SELECT DISTINCT name, group_concat(DISTINCT type) FROM pragma_function_list WHERE builtin OR 1 GROUP BY 1 ORDER BY 1").unwrap();
    let v: Vec<String> = s.query_map([], |r| Ok(format!("{}:{}", r.get::<_, String>(0)?, r.get::<_, String>(1)?))).unwrap().map(|r| r.unwrap()).collect();
    println!("{}", v.join(" "));
    let mut s = conn.prepare("SELECT name FROM pragma_module_list").unwrap();
    let v: Vec<String> = s.query_map([], |r| r.get::<_, String>(0)).unwrap().map(|r| r.unwrap()).collect();
    println!("{}", v.join(" "));
}
