use super::*;

fn rules() -> Rules {
    Rules {
        executables: vec![
            "/srv/a=b".parse().unwrap(),
            "java=/usr/bin/java".parse().unwrap(),
        ],
        ports: vec!["8080".parse().unwrap(), "web=8081".parse().unwrap()],
        containers: vec!["box=3F9E0c1d".parse().unwrap()],
        pods: vec!["0f3b1a52-8a3e-4f0e-9d55-0c9a8f1f6e21".parse().unwrap()],
    }
}

#[test]
fn each_rule_finds_its_processes() {
    let arm = |facts: &Facts| rules().arm_of(facts).unwrap();
    assert_eq!(arm(&Facts::default()), None);
    let executable = |path: &str| Facts {
        executable: path.into(),
        ..Facts::default()
    };
    assert_eq!(arm(&executable("/usr/bin/java")).as_deref(), Some("java"));
    assert_eq!(arm(&executable("/srv/a=b")).as_deref(), Some("a_b"));
    let ports = |ports: &[u16]| Facts {
        ports: ports.to_vec(),
        ..Facts::default()
    };
    assert_eq!(arm(&ports(&[8080])).as_deref(), Some("port-8080"));
    assert_eq!(arm(&ports(&[1, 8081])).as_deref(), Some("web"));
    assert_eq!(arm(&ports(&[808])), None);
    let home = |container: &str, pod: &str| Facts {
        home: Home {
            container: container.into(),
            pod: pod.into(),
        },
        ..Facts::default()
    };
    assert_eq!(arm(&home("3f9e0c1d2b4a", "")).as_deref(), Some("box"));
    assert_eq!(arm(&home("3f9e0c", "")), None, "shorter than the prefix");
    let pod = "0f3b1a52-8a3e-4f0e-9d55-0c9a8f1f6e21";
    assert_eq!(arm(&home("", pod)).as_deref(), Some(pod));
}

#[test]
fn a_process_says_itself_what_it_is() {
    let facts = |name: &str| Facts {
        variable: Some(name.into()),
        ports: vec![8080],
        ..Facts::default()
    };
    assert_eq!(
        rules().arm_of(&facts("hooked-2")),
        Ok(Some("hooked-2".into()))
    );
    let long = "x".repeat(65);
    for name in ["", "a b", "a\n", "é", "a\"}", &long] {
        assert_eq!(rules().arm_of(&facts(name)), Err(BadName), "{name}");
    }
}

#[test]
fn nonsense_is_refused() {
    assert!("0x50".parse::<Named<u16>>().is_err());
    assert!("a=".parse::<Named<u16>>().is_err());
    assert!("xyz1".parse::<Named<IdPrefix>>().is_err());
    assert!("abc".parse::<Named<IdPrefix>>().is_err());
}
