import type { PlainData } from '../../machine/lifecycle.ts'
import type { AttachedCard, CardOrder, NetworkOrder, NetworkReport } from './network-order.ts'

/** Requests to the network thread, by kind, and what each is answered with. */
export interface NetworkRequests {
  create: { readonly order: NetworkOrder, readonly answer: null }
  remove: { readonly name: string, readonly answer: null }
  /** `machine` is the memory of the machine's channel, for its bell. */
  attach: { readonly card: CardOrder, readonly machine: SharedArrayBuffer, readonly answer: AttachedCard }
  detach: { readonly card: number, readonly answer: null }
  /** Of a card's guest. */
  standing: { readonly card: number, readonly answer: PlainData }
  inspect: { readonly name: string, readonly answer: NetworkReport }
  close: { readonly answer: null }
}

export type RequestKind = keyof NetworkRequests
export type RequestBody<Kind extends RequestKind> = Omit<NetworkRequests[Kind], 'answer'>
export type NetworkRequest = {
  readonly [Kind in RequestKind]: { readonly id: number, readonly kind: Kind } & RequestBody<Kind>
}[RequestKind]

export type NetworkMessage =
  | { readonly kind: 'answer', readonly id: number, readonly answer: unknown }
  | { readonly kind: 'refusal', readonly id: number, readonly code: string, readonly message: string }
  /** What a user should know, such as a capture that could not go on. */
  | { readonly kind: 'notice', readonly message: string }

/** What the thread is started with. */
export interface NetworkThreadOrder { readonly doorbell: SharedArrayBuffer }
