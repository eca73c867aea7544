use std::fs;

use super::*;

/// Reviews files given by name and content.
fn review(files: &[(&str, &[u8])]) -> GroupReview {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let files = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    review_group(&GroupInput { root: portable_path::encode(folder.path()), files }, |_| {}).unwrap()
}

fn review_one(source: &str) -> GroupReview {
    review(&[("src/lib.rs", source.as_bytes())])
}

fn found(review: &GroupReview, rule: &str) -> Vec<(u64, String)> {
    let of_rule = review.findings.iter().filter(|finding| finding.rule == rule);
    of_rule.map(|finding| (finding.line, finding.message.clone())).collect()
}

#[test]
fn risky_calls_are_found_outside_tests() {
    let review = review_one(
        r#"
pub fn a(x: Option<u8>) -> u8 {
    println!("{}", x.unwrap());
    let y = x.expect("why"); // not: .unwrap()
    x.unwrap_or(y);
    if y > 1 { panic!("no {}", x.unwrap()) }
    unsafe { std::hint::unreachable_unchecked() }
}
unsafe impl Send for A {}
pub struct A;
impl A { unsafe fn f() { todo!() } }
#[cfg(test)]
mod tests { #[test] fn t() { None::<u8>.unwrap(); } }
#[tokio::test]
async fn t2() { panic!() }
#[cfg(all(test, unix))]
fn t3() { panic!() }
#[cfg(not(test))]
fn real() { unreachable!() }
"#,
    );
    assert_eq!(found(&review, "unwrap").iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4, 6]);
    assert_eq!(found(&review, "panic").iter().map(|(line, _)| *line).collect::<Vec<_>>(), [6, 11, 19]);
    assert_eq!(found(&review, "unsafe").len(), 3);
    assert_eq!(review.functions, 3);
}

#[test]
fn public_items_without_documentation_are_found() {
    let review = review_one(
        r"
/// Has it.
pub fn a() {}
pub fn b() {}
fn c() {}
pub(crate) fn d() {}
#[doc(hidden)]
pub fn e() {}
pub struct S;
impl S { pub fn m(&self) {} /** Has it. */ pub const fn n(&self) {} }
impl Clone for S { fn clone(&self) -> S { S } }
/// Has it.
pub trait T { fn r(&self); }
trait P { fn r(&self); }
mod private { pub fn p() {} }
impl Inner { pub fn q() {} }
pub(crate) struct Inner;
",
    );
    let names: Vec<_> = found(&review, "missing-docs").into_iter().map(|(_, message)| message).collect();
    assert_eq!(names, ["function `b`", "struct `S`", "method `S::m`", "trait method `T::r`"]);
    assert_eq!((review.public, review.documented), (7, 3));
}

#[test]
fn complexity_counts_the_ways_through() {
    let branches = r"fn f(a: u8) -> Option<u8> {
 if a > 1 && a < 3 || a == 9 { return None }
 for _ in 0..a { while a > 2 {} }
 match a { 0 => {} 1 if a > 0 => {} _ => {} }
 let g = |x: u8| if x > 1 { 1 } else { 2 };
 Some(a).map(g)?; Some(1)
}
";
    let review = review_one(&format!("{branches}fn long() {{{}}}", "\n".repeat(151)));
    assert_eq!(review.most_complex[0].complexity, 11);
    assert_eq!((review.longest[0].name.as_str(), review.longest[0].line, review.longest[0].lines), ("long", 8, 152));
    assert_eq!(found(&review, "long-function"), [(8, "`long` has 152 lines".to_owned())]);
}

#[test]
fn odd_files_become_findings() {
    let review = review(&[
        ("a.rs", b"fn broken( {"),
        ("b.rs", b"fn f() {} }"),
        ("c.rs", b"\0\x01\x02"),
        ("d.rs", b"// caf\xe9\nfn ok() {}"),
        ("e.rs", b"\xef\xbb\xbf#!/usr/bin/env run\nfn ok() { x.unwrap() }"),
        ("f.rs", b"\xff\xfef\0n\0 \0f\0(\0)\0{\0}\0"),
        ("g.rs", b""),
        ("h.rs", b"// @generated\nfn f() { x.unwrap() }"),
        ("i.rs", b"let x = 1;\nfoo bar baz"),
        ("tests/j.rs", b"fn f() { x.unwrap() } // TODO: count me"),
        ("k.rs", "fn \u{202e}f() {}".as_bytes()),
    ]);
    assert_eq!(review.languages["Rust"].files, 11);
    assert_eq!(review.generated, 1);
    assert_eq!(review.counts["syntax-error"], 4);
    assert_eq!(review.counts["encoding"], 4);
    assert_eq!(found(&review, "unwrap").iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2]);
    assert_eq!(review.counts["todo"], 1);
}

#[test]
fn missing_files_become_findings() {
    let input = GroupInput { root: "/nonexistent".into(), files: vec!["a.rs".into(), "%FF.rs".into()] };
    let review = review_group(&input, |_| {}).unwrap();
    assert_eq!(review.counts["unreadable"], 2);
}

#[test]
fn nothing_overflows_the_stack() {
    // Just below and far above the limit, of everything that nests.
    let units = [
        ("!", "a", ""),
        ("a + ", "a", ""),
        ("(", "a", ")"),
        ("{", "a", "}"),
        ("[", "a", "]"),
        ("f(", "a", ")"),
        ("a.b(", "a", ")"),
        ("|x| ", "a", ""),
        ("if a {} else ", "{}", ""),
        ("if a { ", "", " }"),
        ("match a { _ => ", "a", " }"),
        ("&", "a", ""),
        ("return ", "a", ""),
        ("a = ", "a", ""),
        ("mod a { ", "", " }"),
        ("m!(", "a", ")"),
        ("fn f() { ", "", " }"),
        ("a as A<", "u8", ">"),
        ("|a, b| ", "a", ""),
    ];
    for (open, middle, close) in units {
        for levels in [2_500, 7_500, 20_000] {
            let body = open.repeat(levels) + middle + &close.repeat(levels);
            review_one(&format!("fn f() {{ {body} }}"));
        }
    }
    for (before, open, close, after) in [
        ("type T = ", "A<", ">", ";"),
        ("type T = ", "A<B, ", ">", ";"),
        ("type T = ", "&", "", "A;"),
        ("type T = ", "fn() -> ", "", "A;"),
        ("fn f() { let a", ".b()", "", "; }"),
        ("fn f() { a", ".b?", "", " }"),
        ("fn f() { a", "[0]", "", " }"),
        ("fn f() { a", "(0)", "", " }"),
        ("fn f() { let ", "&", "", "a = 1; }"),
        ("use ", "a::", "", "b;"),
        ("use ", "a::{", "}", ";"),
    ] {
        for levels in [2_500, 7_500, 20_000] {
            review_one(&format!("{before}{}{}{after}", open.repeat(levels), close.repeat(levels)));
        }
    }
}

#[test]
fn a_result_is_bounded_and_its_counts_are_exact() {
    let line =
        format!("pub fn f_{}() {{ x.unwrap(); panic!(); unsafe {{}} }} // TODO {}\n", "n".repeat(200), "x".repeat(500));
    let review = review_one(&line.repeat(1_000));
    assert_eq!(review.counts["unwrap"], 1_000);
    assert_eq!(review.functions, 1_000);
    assert_eq!(review.findings.len(), 5 * KEPT_PER_RULE);
    assert!(serde_json::to_vec(&review).unwrap().len() < 64 * 1024);
}
