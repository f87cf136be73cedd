/**
 * Numbers that all virtio devices share. Source: Virtual I/O Device (VIRTIO) Version 1.2, §2.1 (status), §2.7 (split virtqueues),
 * §6 (reserved feature bits).
 */

/** Device status, §2.1. */
export const DeviceStatus = {
  ACKNOWLEDGE: 0x01,
  DRIVER: 0x02,
  DRIVER_OK: 0x04,
  FEATURES_OK: 0x08,
  DEVICE_NEEDS_RESET: 0x40,
  FAILED: 0x80,
} as const

/** Numbers of feature bits that belong to no single device type, §6. */
export const Feature = {
  RING_INDIRECT_DESC: 28,
  RING_EVENT_IDX: 29,
  VERSION_1: 32,
  RING_RESET: 40,
} as const

/** Flags of a descriptor, §2.7.5. */
export const DescriptorFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const

/** Bytes of a descriptor: address (8), length (4), flags (2), next (2). */
export const DESCRIPTOR_SIZE = 16

/** The driver's flag in the available ring, and the device's in the used ring, without RING_EVENT_IDX: §2.7.6 and §2.7.8. */
export const NO_INTERRUPT = 1
export const NO_NOTIFY = 1

/** Device types, §5. */
export const DeviceId = { NETWORK: 1, BLOCK: 2, CONSOLE: 3, ENTROPY: 4, BALLOON: 5, SCSI: 8, SOCKET: 19, FILE_SYSTEM: 26 } as const
