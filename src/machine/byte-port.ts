/**
 * A stream of bytes between a guest and its host, both ways: what a device asks of the host side (`BytePortBackend`), and what the
 * host side may tell the device (`BytePort`). As a serial line (serial.ts), but in pieces.
 *
 * Both directions have back-pressure. Bytes for the guest are pulled, when it has room for them.
 */
export interface BytePortBackend {
  /**
   * Takes bytes from the guest, and returns how many. If that is not all, the device keeps the others, and tries again after
   * `BytePort.transmitReady`. The array must not be kept or changed.
   */
  transmit(bytes: Uint8Array): number
  /** Puts bytes for the guest into the array, and returns how many. After 0, `BytePort.receiveReady` says when there are more. */
  receive(into: Uint8Array): number
  /** A program in the guest has opened or closed its end. Where the guest cannot tell, it is open. */
  guestOpened?(open: boolean): void
}

/** The device's host side. None of these may be called from inside a BytePortBackend method. */
export interface BytePort {
  /** A back end that did not take all bytes can take some again. */
  transmitReady(): void
  /** A back end that returned 0 has bytes now. */
  receiveReady(): void
  /** Whether somebody is at the host's end; at first nobody is. The guest sees it as a line that is connected or not. */
  setConnected(connected: boolean): void
}
