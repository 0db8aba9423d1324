//! Open connections of traced processes.
//!
//! An entry that another thread removes meanwhile may already be that of another connection: who
//! reads from a descriptor while it is being closed gets what it may. Writers check the identity.
#![allow(
    unsafe_code,
    reason = "map values are reached through raw pointers that the kernel's verifier checks"
)]

use abi::threads::{CONNECTION_SLOTS, ConnectionSlot, MAX_CONNECTIONS};
use abi::{Connection, ConnectionKey};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

use crate::maps::BPF_NOEXIST;
use crate::slots::Slots;

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

#[inline(always)]
fn slot_of(key: ConnectionKey) -> &'static mut ConnectionSlot {
    // SAFETY: the address is in the table.
    unsafe { &mut *CONNECTIONS.slot(key.slot()) }
}

/// An open connection.
#[inline(always)]
pub fn connection(key: ConnectionKey) -> Option<&'static mut Connection> {
    let slot = slot_of(key);
    if slot.key == key {
        return Some(&mut slot.connection);
    }
    if slot.is_shared == 0 {
        return None;
    }
    let connection = MORE_CONNECTIONS.get_ptr_mut(key)?;
    // SAFETY: entries are preallocated, so the memory stays an entry of this map.
    Some(unsafe { &mut *connection })
}

/// Notes an open connection. False when the table is full.
#[inline(always)]
pub fn insert(key: ConnectionKey, connection: Connection) -> bool {
    let slot = slot_of(key);
    let is_ours = slot.key == key
        || CONNECTION_SLOT_OWNERS
            .insert(key.slot(), key, BPF_NOEXIST)
            .is_ok();
    if is_ours {
        slot.connection = connection;
        slot.key = key;
        return true;
    }
    slot.is_shared = 1;
    MORE_CONNECTIONS.insert(key, connection, 0).is_ok()
}

/// Forgets a connection.
#[inline(always)]
pub fn remove(key: ConnectionKey) {
    let slot = slot_of(key);
    if slot.key == key {
        slot.key = ConnectionKey::default();
        let _ = CONNECTION_SLOT_OWNERS.remove(key.slot());
    } else if slot.is_shared != 0 {
        let _ = MORE_CONNECTIONS.remove(key);
    }
}
