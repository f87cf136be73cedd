/** What a vsock thread is started with, and what it says. The main thread sends it one message, of whatever content: to close. */
export interface VsockThreadOrder {
  readonly path: string
  /** Of the StreamChannel, the thread's doorbell, and the machine's MachineChannel for its bell. */
  readonly streams: SharedArrayBuffer
  readonly doorbell: SharedArrayBuffer
  readonly machine: SharedArrayBuffer
}

export type VsockThreadMessage =
  | { readonly kind: 'listening' }
  /** It cannot listen: a TenonError's code and message. Its last message. */
  | { readonly kind: 'refused', readonly code: string, readonly message: string }
  /** Its last message. */
  | { readonly kind: 'closed' }
