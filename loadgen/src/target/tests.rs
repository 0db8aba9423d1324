use std::net::{Ipv6Addr, TcpListener};

use super::*;

fn error(text: &str) -> String {
    format!("{:#}", Arm::from_str(text).unwrap_err())
}

#[test]
fn arms_are_parsed() {
    let arm = Arm::from_str("hooked=http://localhost:8081/work?us=5").unwrap();
    assert_eq!(
        (arm.name.as_str(), arm.path.as_str()),
        ("hooked", "/work?us=5")
    );
    let addresses = arm.addresses().unwrap();
    assert!(addresses.iter().all(|address| address.port() == 8081));
    let arm = Arm::from_str("v6=http://[::1]:8080/").unwrap();
    assert_eq!(arm.addresses().unwrap(), ["[::1]:8080".parse().unwrap()]);
    assert_eq!(arm.authority(), "[::1]:8080");
    let arm = Arm::from_str("v6=http://[::1]").unwrap();
    assert_eq!(arm.addresses().unwrap(), ["[::1]:80".parse().unwrap()]);
    assert_eq!(arm.path, "/");
}

#[test]
fn the_first_address_that_accepts_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap();
    // Nobody listens there, nor at the same port of ::1.
    let refuses = SocketAddr::from(([127, 0, 0, 2], open.port()));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, open.port()));
    assert_eq!(first_that_accepts(&[v6, refuses, open]), Ok(open));
    let refusals = first_that_accepts(&[refuses, v6]).unwrap_err();
    assert!(refusals.contains(&format!("{refuses}: ")), "{refusals}");
    assert!(refusals.contains(&format!("{v6}: ")), "{refusals}");
}

#[test]
fn bad_arms_say_what_is_wrong() {
    assert!(error("http://localhost").contains("expected NAME=URL"));
    assert!(error("a b=http://localhost").contains("letters, digits"));
    assert!(error("a=https://localhost").contains("does not start with http://"));
    assert!(error("a=http://").contains("is not a URL"));
    assert!(error("a=localhost:80").contains("http://"));
    assert!(error("a=http://me:word@localhost/").contains("--header"));
    assert!(error("a=http://localhost:65536/").contains("up to 65535"));
}
