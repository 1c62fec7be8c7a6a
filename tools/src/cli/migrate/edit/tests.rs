//! Texts as people write them: only what has to change does, or nothing.

use super::*;

/// Edits the document and compares the whole text.
#[track_caller]
fn edit(text: &str, change: impl Fn(&mut Node), expected: &str) {
    assert_eq!(try_edit(text, change).as_deref(), Ok(expected));
}

fn try_edit(text: &str, change: impl Fn(&mut Node)) -> Result<String, CannotEdit> {
    let before = yaml::read(text).unwrap();
    let mut after = before.clone();
    after.iter_mut().for_each(change);
    rewrite(text, &before, &after)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Takes the items with these positions out of the list at `key`.
fn without(node: &mut Node, key: &str, positions: &[usize]) {
    if let Some(Value::List(items)) = node.get_mut(key).map(|node| &mut node.value) {
        for position in positions {
            items[*position].value = Value::Null;
        }
    }
}

#[test]
fn what_does_not_change_stays_to_the_byte() {
    let untouched = "# top\na:   1   # one\n\n\nb:  'x'\nc: [1,2,   3]\n...\n";
    edit(untouched, |_| {}, untouched);
    let set = |node: &mut Node| node.set("b", text("w"));
    edit(
        untouched,
        set,
        "# top\na:   1   # one\n\n\nb: w\nc: [1,2,   3]\n...\n",
    );
}

#[test]
fn a_new_key_goes_where_it_is_asked_for_and_never_inside_a_text() {
    let set = |node: &mut Node| node.set("new", text("1"));
    edit("a: x", set, "a: x\nnew: \"1\"\n");
    edit(
        "a: |\n  one\n  two\n\nb: 1\n",
        set,
        "a: |\n  one\n  two\n\nb: 1\nnew: \"1\"\n",
    );
    edit(
        "b: 1\na: |\n  one\n  two\n",
        set,
        "b: 1\na: |\n  one\n  two\nnew: \"1\"\n",
    );
    edit(
        "a: one\n  and two\n# end\n",
        set,
        "a: one\n  and two\nnew: \"1\"\n# end\n",
    );
    edit(
        "a: \"one\n  two\"   # both\n",
        set,
        "a: \"one\n  two\"   # both\nnew: \"1\"\n",
    );
    edit("a:\n- x\n- y\n", set, "a:\n- x\n- y\nnew: \"1\"\n");
    edit("a:\n", set, "a:\nnew: \"1\"\n");
    edit("{a: 1}\n", set, "{a: 1, new: \"1\"}\n");
    edit("{\"a\": 1}\n", set, "{\"a\": 1, \"new\": \"1\"}\n");
    edit(
        "{\n  \"a\": 1\n}\n",
        set,
        "{\n  \"a\": 1,\n  \"new\": \"1\"\n}\n",
    );
    edit("a: 1\r\n", set, "a: 1\r\nnew: \"1\"\r\n");
    edit("é: ü\nz: ö # ä\n", set, "é: ü\nz: ö # ä\nnew: \"1\"\n");
}

#[test]
fn what_was_empty_is_filled() {
    let fill = |node: &mut Node| {
        let number = |number: &str| Value::Other(number.to_owned());
        node.set("map", map([("a", number("1")), ("b", number("2"))]));
    };
    for empty in ["map: {}", "map:", "map: null", "map: ~", "map: { }"] {
        edit(empty, fill, "map:\n  a: 1\n  b: 2");
        edit(
            &format!("{empty}\nend: 1\n"),
            fill,
            "map:\n  a: 1\n  b: 2\nend: 1\n",
        );
    }
    edit(
        "map: {} # x\nend: 1\n",
        fill,
        "map:\n  a: 1\n  b: 2 # x\nend: 1\n",
    );
    edit(
        "map: # x\nend: 1\n",
        fill,
        "map:\n  a: 1\n  b: 2 # x\nend: 1\n",
    );
    edit("{map: {}, end: 1}", fill, "{map: {a: 1, b: 2}, end: 1}");
    edit("{\"map\": {}}", fill, "{\"map\": {\"a\": 1, \"b\": 2}}");
}

#[test]
fn a_key_is_taken_out_with_its_lines_and_no_others() {
    let remove = |node: &mut Node| {
        node.remove("gone");
    };
    edit(
        "a: 1\ngone: 2 # two\n# three\nb: 3\n",
        remove,
        "a: 1\n# three\nb: 3\n",
    );
    edit("a: 1\ngone:\n  - x\n  - y\nb: 3\n", remove, "a: 1\nb: 3\n");
    edit(
        "a: 1\ngone: |\n  one\n\n  two\nb: 3\n",
        remove,
        "a: 1\nb: 3\n",
    );
    edit("{a: 1, gone: 2, b: 3}", remove, "{a: 1, b: 3}");
    edit("{gone: 2, b: 3}", remove, "{b: 3}");
    edit("{a: 1, gone: [2, 3]}", remove, "{a: 1}");
    edit("{gone: 1}", remove, "{}");
    let first_two = |node: &mut Node| {
        if let Some(Value::List(items)) = node.get_mut("list").map(|node| &mut node.value) {
            items[0].remove("a");
            items[0].remove("b");
        }
    };
    edit(
        "list:\n  - a: 1\n    b: 2\n    c: 3\n",
        first_two,
        "list:\n  - c: 3\n",
    );
}

#[test]
fn items_are_taken_out() {
    let two = |node: &mut Node| without(node, "list", &[0, 2]);
    let block = "list:\n  # first\n  - a: 1\n    b: 1\n  -\n    a: 2\n  - a: 3\nend: 1\n";
    edit(block, two, "list:\n  # first\n  -\n    a: 2\nend: 1\n");
    edit("list: [{a: 1}, {a: 2}, {a: 3}]\n", two, "list: [{a: 2}]\n");
    edit("list:\n- x\n- y\n- z\n", two, "list:\n- y\n");
}

#[test]
fn what_is_new_is_quoted_where_it_could_be_read_as_something_else() {
    let check = |value: &str, expected: &str| {
        edit(
            "a: x\n",
            |node| node.set("a", text(value)),
            &format!("a: {expected}\n"),
        );
    };
    check("kafka.svc:9092", "kafka.svc:9092");
    check("0.8", "\"0.8\"");
    check("true", "\"true\"");
    check("No", "\"No\"");
    check("", "\"\"");
    check("a: b", "\"a: b\"");
    check("a,b", "\"a,b\"");
    check("#x", "\"#x\"");
    check("sum(x{a=\"b\"})", "'sum(x{a=\"b\"})'");
    check("it's \"x\"", "\"it's \\\"x\\\"\"");
    check("two\nlines", "\"two\\nlines\"");
    check("- x", "\"- x\"");
}

#[test]
fn an_alias_is_written_out_where_it_differs_and_an_anchor_is_not_bent() {
    let set = |node: &mut Node| {
        if let Some(second) = node.get_mut("second") {
            second.set("a", text("w"));
        }
    };
    let shared = "first: &f\n  a: x\nsecond: *f\nthird: 3\n";
    edit(
        shared,
        set,
        "first: &f\n  a: x\nsecond:\n  a: w\nthird: 3\n",
    );
    let first = |node: &mut Node| {
        if let Some(first) = node.get_mut("first") {
            first.set("a", text("w"));
        }
    };
    assert_eq!(try_edit(shared, first), Err(CannotEdit));
    let merged = "first: &f {a: x, b: z}\nsecond:\n  <<: *f\n  c: 1\n";
    edit(
        merged,
        set,
        "first: &f {a: x, b: z}\nsecond:\n  c: 1\n  a: w\n  b: z\n",
    );
}

#[test]
fn only_the_document_that_changes_is_touched() {
    let set = |node: &mut Node| {
        if node.get("a").is_some() {
            node.set("a", text("w"));
        }
    };
    let several = "# none\n---\n---\nb: 1\n---\na: x # it\n---\n~\n---\n- l\n";
    edit(several, set, &several.replace("a: x", "a: w"));
}
