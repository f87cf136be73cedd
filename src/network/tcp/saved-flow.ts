import type { PlainData } from '../../machine/lifecycle.ts'
import type { StateReader } from '../../machine/state-reader.ts'
import type { Connection } from './connection.ts'

/**
 * What a snapshot says of a flow. The host's sockets stay where they are, so that all that can be done for the guest afterwards is to
 * tell it at once: these are the numbers for a RST that it believes.
 */
export interface SavedFlow {
  readonly version: 4 | 6
  readonly localAddress: Uint8Array
  readonly localPort: number
  readonly remoteAddress: Uint8Array
  readonly remotePort: number
  /** SND.NXT and RCV.NXT, signed as in sequence.ts. */
  readonly sendNext: number
  readonly receiveNext: number
}

export function saveFlow(connection: Connection): PlainData {
  const { pair, sender, receiver } = connection
  return {
    localAddress: new Uint8Array(pair.localAddress), localPort: pair.localPort, remoteAddress: new Uint8Array(pair.remoteAddress),
    remotePort: pair.remotePort, sendNext: sender.next >>> 0, receiveNext: receiver.next >>> 0,
  }
}

/** At most `maximum` flows. Throws SNAPSHOT_INVALID. */
export function readFlows(state: StateReader, maximum: number): SavedFlow[] {
  return state.childrenAtMost('flows', maximum).map(readFlow)
}

function readFlow(state: StateReader): SavedFlow {
  const localAddress = state.bytes('localAddress', 4, 16)
  const size = localAddress.length
  if (size !== 4 && size !== 16) throw state.invalid('localAddress', 'is neither IPv4 nor IPv6')
  return {
    version: size === 4 ? 4 : 6, localAddress, remoteAddress: state.bytes('remoteAddress', size), localPort: state.u16('localPort'),
    remotePort: state.u16('remotePort'), sendNext: state.u32('sendNext') | 0, receiveNext: state.u32('receiveNext') | 0,
  }
}
