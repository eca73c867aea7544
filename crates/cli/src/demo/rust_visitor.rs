//! What `syn` sees in one Rust file: its functions, its public items, its risky calls.

use std::collections::HashSet;

use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Expr, Meta, Signature, Token, Visibility};

use super::findings::{self, Finding, Function};

/// Macros within macros that are looked into; deeper ones would be parsed again and again.
const MACRO_DEPTH: usize = 16;

/// What a file has. Tests count as lines only.
#[derive(Debug, Default)]
pub struct FileFacts {
    /// All its functions.
    pub functions: Vec<Function>,
    /// Public items.
    pub public: u64,
    /// Those with documentation.
    pub documented: u64,
    /// What a person should look at.
    pub findings: Vec<Finding>,
}

/// Looks through a parsed file.
pub fn facts(file: &syn::File, path: &str) -> FileFacts {
    let mut visitor = Visitor {
        path,
        facts: FileFacts::default(),
        scope: Vec::new(),
        complexity: Vec::new(),
        private: 0,
        private_types: HashSet::new(),
        macros: 0,
    };
    if !is_test(&file.attrs) {
        note_private_types(&file.items, &mut visitor.private_types);
        visitor.visit_file(file);
    }
    visitor.facts
}

/// Types whose methods nobody outside sees, whatever the methods say.
fn note_private_types(items: &[syn::Item], types: &mut HashSet<String>) {
    for item in items {
        match item {
            syn::Item::Mod(syn::ItemMod { content: Some((_, items)), .. }) => note_private_types(items, types),
            syn::Item::Struct(_) | syn::Item::Enum(_) | syn::Item::Union(_) => {
                if let Some((_, name, Visibility::Restricted(_) | Visibility::Inherited)) = named(item) {
                    types.insert(name.to_string());
                }
            }
            _ => {}
        }
    }
}

struct Visitor<'a> {
    path: &'a str,
    facts: FileFacts,
    /// Names of the types, traits and functions that we are in.
    scope: Vec<String>,
    /// Complexities of the functions that we are in.
    complexity: Vec<u64>,
    /// Private modules, types and functions that we are in: what is public there is not public.
    private: usize,
    private_types: HashSet<String>,
    macros: usize,
}

impl Visitor<'_> {
    fn find(&mut self, rule: &str, span: Span, message: String) {
        self.facts.findings.push(Finding {
            rule: rule.to_owned(),
            path: self.path.to_owned(),
            line: line_of(span),
            message: findings::cut(&message),
            weight: 0,
        });
    }

    fn public_item(&mut self, kind: &str, name: &syn::Ident, attributes: &[Attribute]) {
        if self.private > 0 || is_hidden(attributes) {
            return;
        }
        self.facts.public += 1;
        if attributes.iter().any(|attribute| attribute.path().is_ident("doc")) {
            self.facts.documented += 1;
        } else {
            self.find("missing-docs", name.span(), format!("{kind} `{}`", self.qualified(name)));
        }
    }

    fn qualified(&self, name: &syn::Ident) -> String {
        self.scope.iter().map(String::as_str).chain([name.to_string().as_str()]).collect::<Vec<_>>().join("::")
    }

    fn branch(&mut self, ways: u64) {
        if let Some(complexity) = self.complexity.last_mut() {
            *complexity += ways;
        }
    }

    /// Goes through a function's body, and notes the function.
    fn function(&mut self, signature: &Signature, block: &syn::Block) {
        let name = self.qualified(&signature.ident);
        if let syn::Safety::Unsafe(token) = &signature.safety {
            self.find("unsafe", token.span, format!("unsafe function `{name}`"));
        }
        self.complexity.push(1);
        self.inside(signature.ident.to_string(), true, |visitor| {
            visitor.visit_signature(signature);
            visitor.visit_block(block);
        });
        let first = line_of(signature.fn_token.span);
        let last = block.brace_token.span.close().end().line as u64;
        self.facts.functions.push(Function {
            path: self.path.to_owned(),
            line: first,
            name: findings::cut(&name),
            lines: last.saturating_sub(first) + 1,
            complexity: self.complexity.pop().unwrap_or(1),
        });
    }

    fn inside(&mut self, name: String, private: bool, visit: impl FnOnce(&mut Self)) {
        self.scope.push(name);
        self.private += usize::from(private);
        visit(self);
        self.private -= usize::from(private);
        self.scope.pop();
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_test(attributes_of(item)) {
            return;
        }
        if let Some((kind, name, visibility)) = named(item)
            && matches!(visibility, Visibility::Public(_))
        {
            self.public_item(kind, name, attributes_of(item));
        }
        visit::visit_item(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let private = !matches!(item.vis, Visibility::Public(_));
        self.inside(item.ident.to_string(), private, |visitor| visit::visit_item_mod(visitor, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(token) = &item.unsafety {
            self.find("unsafe", token.span, "unsafe implementation".to_owned());
        }
        let name = type_name(&item.self_ty);
        // Methods of a trait have their documentation at the trait.
        let private = item.trait_.is_some() || self.private_types.contains(&name);
        self.inside(name, private, |visitor| visit::visit_item_impl(visitor, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if is_test(&item.attrs) {
            return;
        }
        if matches!(item.vis, Visibility::Public(_)) {
            self.public_item("method", &item.sig.ident, &item.attrs);
        }
        self.function(&item.sig, &item.block);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        let private = !matches!(item.vis, Visibility::Public(_));
        self.inside(item.ident.to_string(), private, |visitor| visit::visit_item_trait(visitor, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if is_test(&item.attrs) {
            return;
        }
        self.public_item("trait method", &item.sig.ident, &item.attrs);
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
    }

    fn visit_expr_if(&mut self, expression: &'ast syn::ExprIf) {
        self.branch(1);
        visit::visit_expr_if(self, expression);
    }

    fn visit_expr_while(&mut self, expression: &'ast syn::ExprWhile) {
        self.branch(1);
        visit::visit_expr_while(self, expression);
    }

    fn visit_expr_for_loop(&mut self, expression: &'ast syn::ExprForLoop) {
        self.branch(1);
        visit::visit_expr_for_loop(self, expression);
    }

    fn visit_expr_loop(&mut self, expression: &'ast syn::ExprLoop) {
        self.branch(1);
        visit::visit_expr_loop(self, expression);
    }

    fn visit_expr_try(&mut self, expression: &'ast syn::ExprTry) {
        self.branch(1);
        visit::visit_expr_try(self, expression);
    }

    fn visit_expr_match(&mut self, expression: &'ast syn::ExprMatch) {
        self.branch(expression.arms.len().saturating_sub(1) as u64);
        visit::visit_expr_match(self, expression);
    }

    fn visit_pat_guard(&mut self, guard: &'ast syn::PatGuard) {
        self.branch(1);
        visit::visit_pat_guard(self, guard);
    }

    fn visit_expr_binary(&mut self, expression: &'ast syn::ExprBinary) {
        if matches!(expression.op, BinOp::And(_) | BinOp::Or(_)) {
            self.branch(1);
        }
        visit::visit_expr_binary(self, expression);
    }

    fn visit_expr_unsafe(&mut self, expression: &'ast syn::ExprUnsafe) {
        self.find("unsafe", expression.unsafe_token.span, "unsafe block".to_owned());
        visit::visit_expr_unsafe(self, expression);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let name = call.method.to_string();
        let arguments = usize::from(name == "expect");
        if matches!(name.as_str(), "unwrap" | "expect") && call.args.len() == arguments {
            self.find("unwrap", call.method.span(), format!("`.{name}()`"));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, macro_call: &'ast syn::Macro) {
        let name = macro_call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if matches!(name.as_str(), "panic" | "todo" | "unimplemented" | "unreachable") {
            self.find("panic", macro_call.path.span(), format!("`{name}!`"));
        }
        // Most macros take expressions: `println!("{}", x.unwrap())`. What is anything else is not looked into.
        let parse = Punctuated::<Expr, Token![,]>::parse_terminated;
        if self.macros < MACRO_DEPTH
            && name != "macro_rules"
            && let Ok(arguments) = macro_call.parse_body_with(parse)
        {
            self.macros += 1;
            arguments.iter().for_each(|argument| self.visit_expr(argument));
            self.macros -= 1;
        }
    }
}

fn line_of(span: Span) -> u64 {
    span.start().line as u64
}

fn named(item: &syn::Item) -> Option<(&'static str, &syn::Ident, &Visibility)> {
    Some(match item {
        syn::Item::Const(item) => ("constant", &item.ident, &item.vis),
        syn::Item::Enum(item) => ("enum", &item.ident, &item.vis),
        syn::Item::Fn(item) => ("function", &item.sig.ident, &item.vis),
        // The documentation of `mod a;` may stand in its file.
        syn::Item::Mod(item) if item.content.is_some() => ("module", &item.ident, &item.vis),
        syn::Item::Static(item) => ("static", &item.ident, &item.vis),
        syn::Item::Struct(item) => ("struct", &item.ident, &item.vis),
        syn::Item::Trait(item) => ("trait", &item.ident, &item.vis),
        syn::Item::Type(item) => ("type", &item.ident, &item.vis),
        syn::Item::Union(item) => ("union", &item.ident, &item.vis),
        _ => return None,
    })
}

fn attributes_of(item: &syn::Item) -> &[Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        _ => &[],
    }
}

fn type_name(of: &syn::Type) -> String {
    match of {
        syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default(),
        syn::Type::Reference(reference) => type_name(&reference.elem),
        _ => "impl".to_owned(),
    }
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc")
            && matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string() == "hidden")
    })
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let last = attribute.path().segments.last().map(|segment| segment.ident.to_string());
        match (last.as_deref(), &attribute.meta) {
            (Some("test" | "bench" | "rstest" | "quickcheck"), _) => true,
            (Some("cfg"), Meta::List(list)) => {
                let condition = list.tokens.to_string();
                condition == "test" || (condition.starts_with("all") && mentions_test(&condition))
            }
            _ => false,
        }
    })
}

fn mentions_test(condition: &str) -> bool {
    let mut words = condition.split(|character: char| !character.is_alphanumeric() && character != '_');
    words.any(|word| word == "test") && !condition.contains("not")
}
