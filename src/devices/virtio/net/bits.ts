/** Numbers of the network device. Source: VIRTIO 1.2, §5.1.3 (features), §5.1.4 (status), §5.1.6.5 (control commands). */

export const NetFeature = {
  CSUM: 0,
  GUEST_CSUM: 1,
  CTRL_GUEST_OFFLOADS: 2,
  MTU: 3,
  MAC: 5,
  GUEST_TSO4: 7,
  GUEST_TSO6: 8,
  HOST_TSO4: 11,
  HOST_TSO6: 12,
  MRG_RXBUF: 15,
  STATUS: 16,
  CTRL_VQ: 17,
  CTRL_RX: 18,
  CTRL_VLAN: 19,
  CTRL_RX_EXTRA: 20,
  GUEST_ANNOUNCE: 21,
  MQ: 22,
  CTRL_MAC_ADDR: 23,
  GUEST_USO4: 54,
  GUEST_USO6: 55,
  HOST_USO: 56,
  SPEED_DUPLEX: 63,
} as const

export const NetStatus = { LINK_UP: 1, ANNOUNCE: 2 } as const

/** Classes of control commands. */
export const ControlClass = { RX: 0, MAC: 1, VLAN: 2, ANNOUNCE: 3, MQ: 4, GUEST_OFFLOADS: 5 } as const
export const MacCommand = { TABLE_SET: 0, ADDR_SET: 1 } as const
export const VlanCommand = { ADD: 0, DEL: 1 } as const
/** The answer to a control command. */
export const Ack = { OK: 0, ERR: 1 } as const

/** Offloads towards the driver that it can switch off and on while it runs: §5.1.6.5.6. */
export const GUEST_OFFLOADS = [
  NetFeature.GUEST_CSUM, NetFeature.GUEST_TSO4, NetFeature.GUEST_TSO6, NetFeature.GUEST_USO4, NetFeature.GUEST_USO6,
] as const
