//! How long a value of the size of a resource takes to be read and written.
#![allow(missing_docs, unreachable_pub, reason = "criterion's macro makes a public function")]
#![allow(clippy::expect_used, reason = "a benchmark of a value that does not encode is no benchmark")]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tfplugin::codec::{decode_msgpack, encode_msgpack};
use tfplugin::schema::Type;
use tfplugin::value::Value;

/// An object as large as the state of a load balancer: attributes of every kind, and two lists of objects.
fn resource() -> (Value, Type) {
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    let mut types: BTreeMap<String, Type> = BTreeMap::new();
    let mut put = |name: String, value: Value, r#type: Type| {
        values.insert(name.clone(), value);
        types.insert(name, r#type);
    };
    for number in 0..20_i64 {
        put(format!("text_{number}"), Value::from(format!("a text of number {number}")), Type::String);
        put(format!("number_{number}"), Value::from(number * 1000), Type::Number);
        put(format!("flag_{number}"), Value::from(number % 2 == 0), Type::Bool);
    }
    put("names".to_owned(), Value::set(["subnet-0a", "subnet-0b", "subnet-0c"]), Type::Set(Box::new(Type::String)));
    let tags = (0..10).map(|number| (format!("key-{number}"), Value::from("value")));
    put("tags".to_owned(), Value::object(tags), Type::Map(Box::new(Type::String)));
    for role in ["listeners", "rules"] {
        let member = |number: i64| Value::object([("port", Value::from(number)), ("protocol", Value::from("HTTPS"))]);
        let member_type =
            Type::Object(BTreeMap::from([("port".to_owned(), Type::Number), ("protocol".to_owned(), Type::String)]));
        put(role.to_owned(), Value::List((0..8).map(member).collect()), Type::List(Box::new(member_type)));
    }
    (Value::Map(values), Type::Object(types))
}

fn codec(criterion: &mut Criterion) {
    let (value, r#type) = resource();
    let bytes = encode_msgpack(&value, &r#type).expect("the value fits its type");
    criterion.bench_function("encode a resource", |bencher| {
        bencher.iter(|| encode_msgpack(black_box(&value), &r#type));
    });
    criterion.bench_function("decode a resource", |bencher| {
        bencher.iter(|| decode_msgpack(black_box(&bytes), &r#type));
    });
}

criterion_group!(benches, codec);
criterion_main!(benches);
