import type { Capability } from '../pci/config-space.ts'
import type { RegisterRow } from '../registers/register-map.ts'
import { COMMON_CONFIGURATION_SIZE } from './common-configuration.ts'

/**
 * The capabilities that tell where a virtio function's structures are. Source: VIRTIO 1.2, §4.1.4.
 *
 *   vendor-specific capability 0x09: 2 cap_len, 3 cfg_type, 4 bar, 5 id, 8 offset, 12 length
 *     type 1 common configuration, 2 notification (16 notify_off_multiplier), 3 ISR status, 4 device configuration,
 *     type 5 access to the BAR through configuration space (bar, offset and length are writable; 16 pci_cfg_data)
 */

/** Offsets in BAR0, and its size. */
export const Region = {
  COMMON: 0x0000, ISR: 0x1000, DEVICE: 0x2000, NOTIFY: 0x3000, MSIX_TABLE: 0x4000, MSIX_PENDING: 0x5000, END: 0x8000,
} as const

const CAPABILITY_ID = 0x09
const ConfigurationType = { COMMON: 1, NOTIFY: 2, ISR: 3, DEVICE: 4, PCI: 5 } as const
const NOTIFY_MULTIPLIER = 4
const DEVICE_CONFIGURATION_SIZE = 0x1000

/** Offset of pci_cfg_data in configuration space: its capability is the first, at 0x40. */
export const CONFIGURATION_ACCESS = { data: 0x50 } as const

export function capabilities(queues: number): Capability[] {
  return [
    configurationAccess(),
    place('Common', ConfigurationType.COMMON, Region.COMMON, COMMON_CONFIGURATION_SIZE),
    place('Notify', ConfigurationType.NOTIFY, Region.NOTIFY, queues * NOTIFY_MULTIPLIER, [
      { name: 'NotifyMultiplier', offset: 16, width: 4, reset: NOTIFY_MULTIPLIER },
    ]),
    place('Isr', ConfigurationType.ISR, Region.ISR, 1),
    place('Device', ConfigurationType.DEVICE, Region.DEVICE, DEVICE_CONFIGURATION_SIZE),
  ]
}

function place(name: string, type: number, offset: number, length: number, more: readonly RegisterRow[] = []): Capability {
  const size = 16 + 4 * more.length
  return {
    id: CAPABILITY_ID, length: size,
    rows: [
      { name: `${name}Header`, offset: 2, width: 2, reset: type << 8 | size },
      { name: `${name}Offset`, offset: 8, width: 4, reset: offset },
      { name: `${name}Length`, offset: 12, width: 4, reset: length },
      ...more,
    ],
  }
}

function configurationAccess(): Capability {
  return {
    id: CAPABILITY_ID, length: 20,
    rows: [
      { name: 'PciCfgHeader', offset: 2, width: 2, reset: ConfigurationType.PCI << 8 | 20 },
      { name: 'PciCfgBar', offset: 4, width: 1, writable: 0xff },
      { name: 'PciCfgOffset', offset: 8, width: 4, writable: 0xffffffff },
      { name: 'PciCfgLength', offset: 12, width: 4, writable: 0xffffffff },
    ],
  }
}
