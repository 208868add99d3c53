//! Values: bytes that are read as a value can be written, and are the same value then.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tfplugin::codec::{decode_msgpack, encode_msgpack};
use tfplugin::schema::Type;

/// The types, of which the first byte of an input chooses one.
static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| {
    let object = |attributes: &[(&str, Type)]| {
        Type::Object(
            attributes.iter().map(|(name, r#type)| ((*name).to_owned(), r#type.clone())).collect::<BTreeMap<_, _>>(),
        )
    };
    let set = Type::Set(Box::new(Type::Dynamic));
    let map = Type::Map(Box::new(Type::List(Box::new(Type::Number))));
    vec![
        Type::Dynamic,
        Type::Number,
        Type::String,
        set.clone(),
        map.clone(),
        Type::Tuple(vec![Type::Bool, Type::Number, Type::Dynamic]),
        object(&[("a", Type::strings()), ("b", set), ("c", object(&[("d", map), ("e", Type::Bool)]))]),
    ]
});

fuzz_target!(|input: &[u8]| {
    // A longer one may nest to the limit of depth, where a float can be read and the text that it is written as cannot.
    let Some((choice, bytes)) = input.split_first().filter(|_| input.len() <= 1024) else { return };
    let r#type = &TYPES[usize::from(*choice) % TYPES.len()];
    let Ok(value) = decode_msgpack(bytes, r#type) else { return };
    let written = encode_msgpack(&value, r#type).expect("what was read can be written");
    let again = decode_msgpack(&written, r#type).expect("what was written can be read");
    assert_eq!(again, value);
    assert_eq!(encode_msgpack(&again, r#type).as_ref(), Ok(&written));
});
