//! The places in the kernel's tables: one for each arm in each container.

use probes::discover::container::Home;

/// What has a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The arm.
    pub arm: String,
    /// The container and pod.
    pub home: Home,
    /// Its processes that have ended.
    pub ended_processes: u64,
    /// How long its processes ran before they were observed, in seconds.
    pub unobserved_s: f64,
    /// When it had a process last, in scans.
    last_alive: u64,
}

/// A place that was found for a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It has it already, or it has never been used.
    Ready(u32),
    /// Another had it, whose figures must be cleared.
    Used(u32),
    /// All places are of series with processes.
    None,
}

/// The places.
#[derive(Debug)]
pub struct SeriesTable {
    places: Vec<Option<Series>>,
    /// Series that had to go, as others needed their places.
    pub forgotten: u64,
}

impl SeriesTable {
    /// So many places.
    pub fn with_places(places: u32) -> Self {
        Self {
            places: vec![None; places as usize],
            forgotten: 0,
        }
    }

    /// Finds a place for a series that has a process in this scan. The first to go is the one without processes that
    /// had its last the longest ago.
    pub fn place(&mut self, arm: &str, home: &Home, scan: u64) -> Place {
        let has_it = |place: &Option<Series>| {
            let series = place.as_ref();
            series.is_some_and(|series| series.arm == arm && series.home == *home)
        };
        let known = self.places.iter().position(has_it);
        let free = || self.places.iter().position(Option::is_none);
        let (index, is_used) = match known.or_else(free) {
            Some(index) => (index, false),
            None => match self.longest_dead(scan) {
                Some(index) => (index, true),
                None => return Place::None,
            },
        };
        if is_used {
            self.forgotten += 1;
            self.places[index] = None;
        }
        let series = self.places[index].get_or_insert_with(|| Series {
            arm: arm.to_owned(),
            home: home.clone(),
            ended_processes: 0,
            unobserved_s: 0.0,
            last_alive: scan,
        });
        series.last_alive = scan;
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        if is_used {
            Place::Used(number)
        } else {
            Place::Ready(number)
        }
    }

    fn longest_dead(&self, scan: u64) -> Option<usize> {
        let dead = self.places.iter().enumerate().filter_map(|(index, place)| {
            let last_alive = place.as_ref()?.last_alive;
            // Who had one in the last scan may have it still.
            (last_alive + 1 < scan).then_some((last_alive, index))
        });
        dead.min().map(|(_, index)| index)
    }

    /// Notes that a series has a process in this scan.
    pub fn keep(&mut self, place: u32, scan: u64) {
        if let Some(series) = self.get_mut(place) {
            series.last_alive = scan;
        }
    }

    /// The series in a place.
    pub fn get(&self, place: u32) -> Option<&Series> {
        self.places.get(place as usize)?.as_ref()
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, place: u32) -> Option<&mut Series> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    /// All series with their places.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Series)> {
        (0..)
            .zip(&self.places)
            .filter_map(|(place, series)| Some((place, series.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(container: &str) -> Home {
        Home {
            container: container.to_owned(),
            pod: String::new(),
        }
    }

    #[test]
    fn each_arm_in_each_container_has_a_place_and_keeps_it() {
        let mut table = SeriesTable::with_places(4);
        assert_eq!(table.place("a", &home("1"), 1), Place::Ready(0));
        assert_eq!(table.place("a", &home("2"), 1), Place::Ready(1));
        assert_eq!(table.place("b", &home("1"), 1), Place::Ready(2));
        assert_eq!(table.place("a", &home("2"), 50), Place::Ready(1));
        assert_eq!(table.iter().count(), 3);
    }

    #[test]
    fn the_longest_dead_makes_room_and_the_living_do_not() {
        let mut table = SeriesTable::with_places(2);
        assert_eq!(table.place("a", &home(""), 1), Place::Ready(0));
        assert_eq!(table.place("b", &home(""), 1), Place::Ready(1));
        table.keep(0, 2);
        table.keep(1, 3);
        assert_eq!(
            table.place("c", &home(""), 3),
            Place::None,
            "a may live yet"
        );
        table.keep(1, 4);
        assert_eq!(table.place("c", &home(""), 4), Place::Used(0));
        assert_eq!(table.forgotten, 1);
        let names: Vec<&str> = table
            .iter()
            .map(|(_, series)| series.arm.as_str())
            .collect();
        assert_eq!(names, ["c", "b"]);
    }
}
