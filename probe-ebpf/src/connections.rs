//! Open connections of traced processes.
//!
//! An entry that another thread removes meanwhile may already be that of another connection: who
//! reads from a descriptor while it is being closed gets what it may. Writers check the identity.
#![allow(
    unsafe_code,
    reason = "map values are reached through raw pointers that the kernel's verifier checks"
)]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "a field's address and the look at it rest on one reason"
)]

use abi::threads::{CONNECTION_SLOTS, ConnectionSlot, MAX_CONNECTIONS};
use abi::{Connection, ConnectionKey};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

use crate::maps::BPF_NOEXIST;
use crate::slots::{Slots, peek};

/// Slots of connections.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.connections")]
static CONNECTIONS: Slots<ConnectionSlot, { CONNECTION_SLOTS as usize }> = Slots::new();

/// The connection that has a slot, as for threads.
#[map]
static CONNECTION_SLOT_OWNERS: HashMap<u32, ConnectionKey> =
    HashMap::with_max_entries(CONNECTION_SLOTS, 0);

/// Connections whose slot another has.
#[map]
static MORE_CONNECTIONS: HashMap<ConnectionKey, Connection> =
    HashMap::with_max_entries(MAX_CONNECTIONS, 0);

/// An open connection. It is an address, not a reference: any thread may write there.
#[derive(Clone, Copy)]
pub struct Open(*mut Connection);

// Entries are preallocated, so the memory stays an entry of its table, whatever becomes of the connection.
impl Open {
    #[inline(always)]
    pub fn identity(self) -> u64 {
        // SAFETY: it is in a table.
        unsafe { peek(&raw const (*self.0).identity) }
    }

    #[inline(always)]
    pub fn received(self) -> u64 {
        // SAFETY: it is in a table.
        unsafe { peek(&raw const (*self.0).received) }
    }

    #[inline(always)]
    pub fn set_received(self, received: u64) {
        // SAFETY: it is in a table.
        unsafe { (*self.0).received = received };
    }
}

/// The slot of a connection.
#[derive(Clone, Copy)]
struct Slot(*mut ConnectionSlot);

impl Slot {
    #[inline(always)]
    fn of(key: ConnectionKey) -> Self {
        Self(CONNECTIONS.slot(key.slot()))
    }

    #[inline(always)]
    fn is_of(self, key: ConnectionKey) -> bool {
        // SAFETY: the address is in the table.
        unsafe { peek(&raw const (*self.0).key) == key }
    }

    #[inline(always)]
    fn is_shared(self) -> bool {
        // SAFETY: the address is in the table.
        unsafe { peek(&raw const (*self.0).is_shared) != 0 }
    }

    #[inline(always)]
    fn set_shared(self) {
        // SAFETY: the address is in the table.
        unsafe { (*self.0).is_shared = 1 };
    }

    #[inline(always)]
    fn connection(self) -> Open {
        // SAFETY: the address is in the table.
        Open(unsafe { &raw mut (*self.0).connection })
    }

    /// The connection comes before the key by which others find it.
    #[inline(always)]
    fn fill(self, key: ConnectionKey, connection: Connection) {
        // SAFETY: the address is in the table.
        unsafe { (*self.0).connection = connection };
        self.set_key(key);
    }

    #[inline(always)]
    fn set_key(self, key: ConnectionKey) {
        // SAFETY: the address is in the table.
        unsafe { (*self.0).key = key };
    }
}

/// An open connection.
#[inline(always)]
pub fn connection(key: ConnectionKey) -> Option<Open> {
    let slot = Slot::of(key);
    if slot.is_of(key) {
        return Some(slot.connection());
    }
    if !slot.is_shared() {
        return None;
    }
    MORE_CONNECTIONS.get_ptr_mut(key).map(Open)
}

/// Notes an open connection. False when the table is full.
#[inline(always)]
pub fn insert(key: ConnectionKey, connection: Connection) -> bool {
    let slot = Slot::of(key);
    let is_ours = slot.is_of(key)
        || CONNECTION_SLOT_OWNERS
            .insert(key.slot(), key, BPF_NOEXIST)
            .is_ok();
    if is_ours {
        slot.fill(key, connection);
        return true;
    }
    slot.set_shared();
    MORE_CONNECTIONS.insert(key, connection, 0).is_ok()
}

/// Forgets a connection.
#[inline(always)]
pub fn remove(key: ConnectionKey) {
    let slot = Slot::of(key);
    if slot.is_of(key) {
        slot.set_key(ConnectionKey::default());
        let _ = CONNECTION_SLOT_OWNERS.remove(key.slot());
    } else if slot.is_shared() {
        let _ = MORE_CONNECTIONS.remove(key);
    }
}
