/** A part of a disk, as its partition table has it. */
export interface Partition {
  /** From 1; what Linux puts behind the disk's name. */
  readonly number: number
  /** Bytes from the disk's start. */
  readonly offset: number
  /** Bytes. */
  readonly size: number
  /** A GUID; of an MBR's partition the type byte in hexadecimal, such as `83`. */
  readonly type: string
  /** A GUID; what Linux calls PARTUUID. */
  readonly guid: string
  /** At most 36 characters. MBRs have none. */
  readonly name: string
  /** As UEFI 2.10 §5.3.3 has them; 0 for an MBR's. */
  readonly attributes: bigint
}

/** Types of partitions (UEFI 2.10 §5.3.3; The Discoverable Partitions Specification). */
export const PartitionType = {
  EFI_SYSTEM: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  BIOS_BOOT: '21686148-6449-6e6f-744e-656564454649',
  LINUX_FILE_SYSTEM: '0fc63daf-8483-4772-8e79-3d69d8e47de4',
  LINUX_ROOT_X86_64: '4f68bce3-e8cd-4db1-96e7-fbcaf984b709',
  LINUX_SWAP: '0657fd6d-a4ab-43c4-84e5-0933c84b4f4f',
} as const
