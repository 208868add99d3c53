//! The wire form, byte by byte, and that any value survives it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn object(attributes: &[(&str, Type)]) -> Type {
    Type::Object(attributes.iter().map(|(name, r#type)| ((*name).to_owned(), r#type.clone())).collect())
}

fn set_of(r#type: Type) -> Type {
    Type::Set(Box::new(r#type))
}

fn num(text: &str) -> Value {
    Value::Number(Number::parse(text).unwrap())
}

fn decode_error(bytes: &[u8], r#type: &Type) -> String {
    decode_msgpack(bytes, r#type).unwrap_err().to_string()
}

#[test]
fn values_have_the_bytes_that_core_gives_them() {
    let pair = object(&[("a", Type::String), ("b", Type::Bool)]);
    let golden: [(&[u8], Type, Value); 15] = [
        (b"\xc0", Type::String, Value::Null),
        (b"\xd4\x00\x00", Type::String, Value::Unknown),
        (b"\xc3", Type::Bool, Value::Bool(true)),
        (b"\xa1x", Type::String, "x".into()),
        (b"\x01", Type::Number, 1.into()),
        (b"\xff", Type::Number, (-1).into()),
        (b"\xcd\x01\x2c", Type::Number, 300.into()),
        (b"\xa30.1", Type::Number, num("0.1")),
        (b"\xb418446744073709551616", Type::Number, num("18446744073709551616")),
        (b"\x82\xa1a\xa1x\xa1b\xc0", pair.clone(), Value::object([("a", "x".into()), ("b", Value::Null)])),
        (b"\x90", Type::strings(), Value::List(vec![])),
        (b"\x92\xa1b\xa1a", Type::strings(), vec!["b", "a"].into()),
        (b"\x81\xa1k\xc3", Type::Map(Box::new(Type::Bool)), Value::object([("k", true.into())])),
        (b"\x92\xa1x\x02", Type::Tuple(vec![Type::String, Type::Number]), Value::List(vec!["x".into(), 2.into()])),
        (b"\x92\xc4\x08\"string\"\xa1x", Type::Dynamic, Value::Dynamic(Box::new((Type::String, "x".into())))),
    ];
    for (bytes, r#type, value) in golden {
        assert_eq!(encode_msgpack(&value, &r#type).unwrap(), bytes, "{value:?}");
        assert_eq!(decode_msgpack(bytes, &r#type).unwrap(), value, "{bytes:x?}");
    }
}

#[test]
fn a_number_is_read_from_every_form_core_may_choose() {
    let forms: [(&[u8], &str); 6] = [
        (b"\xd3\xff\xff\xff\xff\xff\xff\xff\xfe", "-2"),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
        (b"\xca\x3f\x00\x00\x00", "0.5"),
        (b"\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00", "0.5"),
        // 2^-30, whose shortest spelling as a float is another number.
        (b"\xcb\x3e\x10\x00\x00\x00\x00\x00\x00", "0.000000000931322574615478515625"),
        (b"\xa41e20", "100000000000000000000"),
    ];
    for (bytes, number) in forms {
        assert_eq!(decode_msgpack(bytes, &Type::Number).unwrap(), num(number));
    }
    assert!(decode_msgpack(b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", &Type::Number).is_err(), "infinity");
    assert!(decode_msgpack(b"\xa3abc", &Type::Number).is_err());
}

#[test]
fn a_refined_unknown_value_is_unknown() {
    let not_null = b"\xc7\x03\x0c\x81\x01\xc2";
    assert_eq!(decode_msgpack(not_null, &Type::String).unwrap(), Value::Unknown);
    assert_eq!(decode_msgpack(not_null, &Type::Dynamic).unwrap(), Value::Unknown);
}

#[test]
fn a_set_has_no_order_and_no_duplicates() {
    let decoded = decode_msgpack(b"\x93\xa1b\xa1a\xa1b", &set_of(Type::String)).unwrap();
    assert_eq!(decoded, Value::set(["a", "b"]));
    let json = decode_json(&json!(["b", "a", "b"]), &set_of(Type::String)).unwrap();
    assert_eq!(json, Value::set(["a", "b"]));
}

#[test]
fn unknown_elements_of_a_set_are_not_duplicates_of_each_other() {
    let bytes = b"\x92\xd4\x00\x00\xd4\x00\x00";
    let decoded = decode_msgpack(bytes, &set_of(Type::String)).unwrap();
    assert_eq!(decoded, Value::List(vec![Value::Unknown, Value::Unknown]));
    assert_eq!(encode_msgpack(&decoded, &set_of(Type::String)).unwrap(), bytes);
}

#[test]
fn an_object_has_each_attribute_of_its_type_exactly_once() {
    let r#type = object(&[("outer", object(&[("a", Type::Bool)]))]);
    assert_eq!(decode_error(b"\x81\xa5outer\x80", &r#type), "outer.a: is missing");
    assert_eq!(decode_error(b"\x81\xa5outer\x81\xa1z\xc3", &r#type), "outer.z: is not in the schema");
    assert_eq!(decode_error(b"\x81\xa5outer\x82\xa1a\xc3\xa1a\xc3", &r#type), "outer.a: is there twice");
    assert_eq!(
        encode_msgpack(&Value::object([("outer", Value::object::<&str>([]))]), &r#type).unwrap(),
        b"\x81\xa5outer\x81\xa1a\xc0"
    );
    let extra = Value::object([("outer", Value::object([("z", true.into())]))]);
    assert_eq!(encode_msgpack(&extra, &r#type).unwrap_err().to_string(), "outer.z: is not in the schema");
}

#[test]
fn an_error_names_the_attribute() {
    let r#type = object(&[("list", Type::List(Box::new(Type::Map(Box::new(Type::Number)))))]);
    let wrong =
        Value::object([("list", vec![Value::object([("k", 1.into())]), Value::object([("k", "x".into())])].into())]);
    let error = encode_msgpack(&wrong, &r#type).unwrap_err();
    assert_eq!(error.path(), Path::of("list").index(1).key("k"));
    assert_eq!(error.to_string(), r#"list[1]["k"]: expected a number, found a string"#);
    assert_eq!(
        decode_error(b"\x81\xa4list\x91\x81\xa1k\xc3", &r#type),
        r#"list[0]["k"]: expected a number, found a bool"#
    );
    let json = decode_json(&json!({"list": [{"k": true}]}), &r#type).unwrap_err();
    assert_eq!(json.to_string(), r#"list[0]["k"]: expected a number, found a bool"#);
}

#[test]
fn what_fits_is_saved_beside_what_does_not() {
    let r#type = object(&[("id", Type::String), ("port", Type::Number)]);
    let (bytes, errors) = salvage_msgpack(&Value::object([("id", "lb-1".into()), ("port", "http".into())]), &r#type);
    let saved = Value::object([("id", "lb-1".into()), ("port", Value::Null)]);
    assert_eq!(decode_msgpack(&bytes, &r#type).unwrap(), saved);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].path(), Path::of("port"));
}

#[test]
fn hostile_messages_are_errors() {
    let hostile: [(&str, &[u8]); 4] = [
        ("nothing", b""),
        ("trailing bytes", b"\xa1x\xc0"),
        ("a string that is not UTF-8", b"\xa1\xff"),
        ("a string longer than the message", b"\xdb\xff\xff\xff\xffx"),
    ];
    for (name, bytes) in hostile {
        assert!(decode_msgpack(bytes, &Type::String).is_err(), "{name}");
    }
    assert!(decode_msgpack(b"\xdd\xff\xff\xff\xff\xa1x", &Type::strings()).is_err(), "a list of 2^32 elements");
    assert!(decode_msgpack(&vec![0x91; 100_000], &Type::Dynamic).is_err(), "nesting without end");
    let deep_type = [b"\x92\xc5\xff\xff".to_vec(), vec![b'['; 0xffff], vec![0xc0]].concat();
    assert!(decode_msgpack(&deep_type, &Type::Dynamic).is_err(), "a type nested without end");
}

#[test]
fn a_value_without_a_type_travels_as_an_object_or_tuple() {
    let value = Value::object([("list", vec![Value::from(1), Value::from("x"), Value::Null].into())]);
    let bytes = encode_msgpack(&value, &Type::Dynamic).unwrap();
    let tuple = Type::Tuple(vec![Type::Number, Type::String, Type::Dynamic]);
    let typed = Value::Dynamic(Box::new((object(&[("list", tuple)]), value)));
    assert_eq!(decode_msgpack(&bytes, &Type::Dynamic).unwrap(), typed);
}

#[test]
fn a_stored_state_may_lack_attributes_and_have_others() {
    let r#type = object(&[
        ("id", Type::String),
        ("new", Type::Bool),
        ("weight", Type::Number),
        ("any", Type::Dynamic),
        ("nested", Type::List(Box::new(object(&[("new", Type::String)])))),
    ]);
    let stored = json!({
        "id": "lb-1", "old": 1, "weight": 0.1, "nested": [{"old": true}], "any": {"type": "string", "value": "x"},
    });
    let state = Value::object([
        ("id", "lb-1".into()),
        ("new", Value::Null),
        ("weight", num("0.1")),
        ("any", Value::Dynamic(Box::new((Type::String, "x".into())))),
        ("nested", Value::List(vec![Value::object([("new", Value::Null)])])),
    ]);
    assert_eq!(decode_json(&stored, &r#type).unwrap(), state);
    assert!(decode_json(&json!({"id": 7}), &r#type).is_err());
}

#[test]
fn a_double_in_a_state_file_is_read_as_it_is_written() {
    for text in ["0.1", "1e21", "31.245270191439438", "121.48791951161945"] {
        let stored = serde_json::from_str(text).unwrap();
        assert_eq!(decode_json(&stored, &Type::Number).unwrap(), num(text));
    }
}

#[test]
fn types_have_the_json_that_core_gives_them() {
    let r#type = object(&[("b", set_of(Type::Number)), ("a", Type::Tuple(vec![Type::Bool, Type::Dynamic]))]);
    let json = br#"["object",{"a":["tuple",["bool","dynamic"]],"b":["set","number"]}]"#;
    assert_eq!(type_to_json(&r#type), json);
    assert_eq!(type_from_json(json).unwrap(), r#type);
    assert_eq!(type_from_json(br#"["object",{"a":"bool"},["a"]]"#).unwrap(), object(&[("a", Type::Bool)]));
    for wrong in ["\"text\"", "[]", "[\"list\"]", "[\"map\",\"x\"]", "7", "{", ""] {
        assert!(type_from_json(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

fn types() -> impl Strategy<Value = Type> {
    let plain = prop_oneof![Just(Type::Bool), Just(Type::Number), Just(Type::String), Just(Type::Dynamic)];
    plain.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|element| Type::List(Box::new(element))),
            inner.clone().prop_map(set_of),
            inner.clone().prop_map(|element| Type::Map(Box::new(element))),
            btree_map("[a-z_]{1,6}", inner.clone(), 0..4).prop_map(Type::Object),
            vec(inner, 0..4).prop_map(Type::Tuple),
        ]
    })
}

fn numbers() -> impl Strategy<Value = Value> {
    let decimal = any::<(i64, u16)>().prop_map(|(whole, fraction)| num(&format!("{whole}.{fraction}")));
    prop_oneof![any::<i64>().prop_map(Value::from), decimal]
}

fn values(r#type: &Type) -> BoxedStrategy<Value> {
    let known = match r#type {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Number => numbers().boxed(),
        Type::String => any::<String>().prop_map(Value::String).boxed(),
        Type::Dynamic => prop_oneof![
            any::<String>().prop_map(|text| Value::Dynamic(Box::new((Type::String, text.into())))),
            vec(numbers(), 0..3).prop_map(|numbers| {
                Value::Dynamic(Box::new((Type::List(Box::new(Type::Number)), Value::List(numbers))))
            }),
        ]
        .boxed(),
        Type::List(element) => vec(values(element), 0..4).prop_map(Value::List).boxed(),
        Type::Set(element) => vec(values(element), 0..4).prop_map(Value::set).boxed(),
        Type::Map(element) => btree_map(any::<String>(), values(element), 0..4).prop_map(Value::Map).boxed(),
        Type::Object(types) => {
            let attributes: Vec<_> = types.iter().map(|(name, r#type)| (Just(name.clone()), values(r#type))).collect();
            attributes.prop_map(Value::object).boxed()
        }
        Type::Tuple(types) => types.iter().map(values).collect::<Vec<_>>().prop_map(Value::List).boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 1 => Just(Value::Unknown), 8 => known].boxed()
}

fn typed_values() -> impl Strategy<Value = (Type, Value)> {
    types().prop_flat_map(|r#type| values(&r#type).prop_map(move |value| (r#type.clone(), value)))
}

proptest! {
    #[test]
    fn every_value_survives_the_wire((r#type, value) in typed_values()) {
        let bytes = encode_msgpack(&value, &r#type).unwrap();
        prop_assert_eq!(decode_msgpack(&bytes, &r#type).unwrap(), value);
    }

    #[test]
    fn every_type_survives_the_wire(r#type in types()) {
        prop_assert_eq!(type_from_json(&type_to_json(&r#type)).unwrap(), r#type);
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(r#type in types(), bytes in vec(any::<u8>(), 0..256)) {
        if let Ok(value) = decode_msgpack(&bytes, &r#type) {
            prop_assert!(encode_msgpack(&value, &r#type).is_ok());
        }
    }

    /// Bytes near a valid message get further than random ones.
    #[test]
    fn a_broken_message_is_a_value_or_an_error(
        (r#type, value) in typed_values(),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encode_msgpack(&value, &r#type).unwrap();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if let Ok(value) = decode_msgpack(&bytes, &r#type) {
            prop_assert!(encode_msgpack(&value, &r#type).is_ok());
        }
    }
}
