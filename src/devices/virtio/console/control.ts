/**
 * Messages of the control queues. Source: VIRTIO 1.2, §5.3.6.2.
 *
 *   0 id (4, the port)   4 event (2)   6 value (2)   8 the bytes of a name
 *
 * Left out on purpose: DEVICE_REMOVE (2), CONSOLE_PORT (4) and RESIZE (5), see console.ts.
 */
export const ControlEvent = { DEVICE_READY: 0, DEVICE_ADD: 1, PORT_READY: 3, PORT_OPEN: 6, PORT_NAME: 7 } as const

/** What a driver must be told of a port, in this order. Bits, so that news are never more than can be kept. */
export const News = { ADD: 1, NAME: 2, OPEN: 4 } as const
export const ALL_NEWS = 7

export const CONTROL_SIZE = 8

export interface PortNews {
  readonly name: string
  readonly connected: boolean
}

/** The message for one bit of `News`. */
export function controlMessage(id: number, news: number, { name, connected }: PortNews): Uint8Array {
  switch (news) {
    case News.ADD: return message(id, ControlEvent.DEVICE_ADD, 1)
    case News.NAME: return message(id, ControlEvent.PORT_NAME, 1, Array.from(name, (character) => character.charCodeAt(0)))
    default: return message(id, ControlEvent.PORT_OPEN, connected ? 1 : 0)
  }
}

function message(id: number, event: number, value: number, more: readonly number[] = []): Uint8Array {
  const bytes = new Uint8Array(CONTROL_SIZE + more.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, id, true)
  view.setUint16(4, event, true)
  view.setUint16(6, value, true)
  bytes.set(more, CONTROL_SIZE)
  return bytes
}
