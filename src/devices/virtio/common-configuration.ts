import { RegisterMap } from '../registers/register-map.ts'
import type { RegisterRow } from '../registers/register-map.ts'
import type { VirtioCore } from './core.ts'
import type { Virtqueue } from './virtqueue.ts'

/**
 * The common configuration structure. Source: VIRTIO 1.2, §4.1.4.3.
 *
 *   0x00 device_feature_select  0x04 device_feature   0x08 driver_feature_select  0x0c driver_feature
 *   0x10 config_msix_vector (2) num_queues (2)        0x14 device_status (1) config_generation (1) queue_select (2)
 *   0x18 queue_size (2) queue_msix_vector (2)         0x1c queue_enable (2) queue_notify_off (2)
 *   0x20 queue_desc (8)         0x28 queue_driver (8)  0x30 queue_device (8)
 *
 * queue_size to queue_device are those of the queue that queue_select names; one that is not there has size 0.
 *
 * Left out on purpose: queue_notify_data and queue_reset, which belong to features that no device offers.
 */
export const COMMON_CONFIGURATION_SIZE = 0x38

/** An interrupt that has no vector. §4.1.5.1.2. */
export const NO_VECTOR = 0xffff

/** MSI-X vectors: one for changes of the configuration, and one for each queue. */
export interface Vectors {
  /** Vectors that there are. */
  readonly count: number
  configuration: number
  readonly queues: Uint16Array
}

type Area = 'descriptorArea' | 'driverArea' | 'deviceArea'
const WORD = 2 ** 32

export function commonConfiguration(core: VirtioCore, vectors: Vectors): RegisterMap {
  const selected = (): Virtqueue | undefined => core.queues[map.get('queue_select')]
  const vectorOf = (value: number): number => value < vectors.count ? value : NO_VECTOR
  const map: RegisterMap = new RegisterMap([
    select('device_feature_select', 0x00),
    { name: 'device_feature', offset: 0x04, width: 4, read: () => core.offered[map.get('device_feature_select')] ?? 0 },
    select('driver_feature_select', 0x08),
    {
      name: 'driver_feature', offset: 0x0c, width: 4, read: () => core.wanted[map.get('driver_feature_select')] ?? 0,
      written: (_, value) => core.writeFeatures(map.get('driver_feature_select'), value),
    },
    {
      name: 'config_msix_vector', offset: 0x10, width: 2, read: () => vectors.configuration,
      written: (_, value) => { vectors.configuration = vectorOf(value) },
    },
    { name: 'num_queues', offset: 0x12, width: 2, reset: core.queues.length },
    { name: 'device_status', offset: 0x14, width: 1, read: () => core.status, written: (_, value) => core.writeStatus(value) },
    { name: 'config_generation', offset: 0x15, width: 1, read: () => core.generation },
    { name: 'queue_select', offset: 0x16, width: 2, writable: 0xffff },
    {
      name: 'queue_size', offset: 0x18, width: 2, read: () => selected()?.size ?? 0,
      written: (_, value) => setSize(selected(), value),
    },
    {
      name: 'queue_msix_vector', offset: 0x1a, width: 2, read: () => vectors.queues[map.get('queue_select')] ?? NO_VECTOR,
      written: (_, value) => { vectors.queues[map.get('queue_select')] = vectorOf(value) },
    },
    {
      name: 'queue_enable', offset: 0x1c, width: 2, read: () => selected()?.enabled ? 1 : 0,
      written: (_, value) => enable(core, selected(), value),
    },
    { name: 'queue_notify_off', offset: 0x1e, width: 2, read: () => selected() ? map.get('queue_select') : 0 },
    ...area('queue_desc', 0x20, 'descriptorArea', selected),
    ...area('queue_driver', 0x28, 'driverArea', selected),
    ...area('queue_device', 0x30, 'deviceArea', selected),
  ], COMMON_CONFIGURATION_SIZE)
  return map
}

function select(name: string, offset: number): RegisterRow { return { name, offset, width: 4, writable: 0xffffffff } }

/** Sizes that no queue can have are ignored; the driver reads back what is so. */
function setSize(queue: Virtqueue | undefined, size: number): void {
  if (queue && !queue.enabled && size > 0 && (size & size - 1) === 0 && size <= queue.maximumSize) queue.size = size
}

function enable(core: VirtioCore, queue: Virtqueue | undefined, value: number): void {
  if (queue && value === 1) core.enableQueue(queue)
}

/** The halves of an address. It cannot change while the queue is in use. */
function area(name: string, offset: number, which: Area, selected: () => Virtqueue | undefined): RegisterRow[] {
  const set = (low: number, high: number): void => {
    const queue = selected()
    if (queue && !queue.enabled) queue[which] = Math.min(high * WORD + low, LARGEST_ADDRESS)
  }
  const low = (): number => (selected()?.[which] ?? 0) % WORD
  const high = (): number => Math.floor((selected()?.[which] ?? 0) / WORD)
  return [
    { name, offset, width: 4, read: low, written: (_, value) => set(value, high()) },
    { name: `${name}_high`, offset: offset + 4, width: 4, read: high, written: (_, value) => set(low(), value) },
  ]
}

/** No memory is as far as this, and a number holds it exactly. */
const LARGEST_ADDRESS = 2 ** 52
