import type { MessagePort } from 'node:worker_threads'
import type { PlainData } from '../../machine/lifecycle.ts'
import type { ShareInfo, ShareOrder } from './share-order.ts'

/** What a share thread is started with. */
export interface ShareThreadOrder {
  readonly shares: readonly ShareOrder[]
  /** Memory of the ShareChannel, and of the machine's MachineChannel for its bell. */
  readonly sharesMemory: SharedArrayBuffer
  readonly machineMemory: SharedArrayBuffer
  /** The machine's thread sends one message: the memory of its pool. */
  readonly pool: MessagePort
  /** The main thread sends `ShareCall`s, and calls by the channel. */
  readonly calls: MessagePort
}

/** What the machine's thread is given of it. */
export interface MachineShares {
  readonly infos: readonly ShareInfo[]
  readonly memory: SharedArrayBuffer
  readonly port: MessagePort
}

/** What a share thread is asked. */
export type ShareCall = 'save' | 'close'

/** What it says. */
export type ShareThreadMessage =
  | { readonly kind: 'opened', readonly infos: readonly ShareInfo[] }
  /** A share cannot be opened: a TenonError's code and message. Its last message. */
  | { readonly kind: 'refused', readonly code: string, readonly message: string }
  /** What guests know of the shares and have open, by share. */
  | { readonly kind: 'saved', readonly states: readonly PlainData[] }
  /** All is closed. Its last message. */
  | { readonly kind: 'closed' }
