/**
 * A serial line: what a UART asks of the host side (`SerialBackend`), and what the host side may tell the UART (`SerialPort`).
 *
 * Both directions have back-pressure and neither allocates per byte. Bytes are pulled, so that a fast host never overruns a guest:
 * the UART calls `receive` when it has room and its guest is ready.
 */
export interface SerialBackend {
  /** Takes a byte from the guest. False refuses it: the UART keeps it, and tries again after `SerialPort.transmitReady`. */
  transmit(byte: number): boolean
  /** The next byte for the guest, or -1 if there is none yet (then `SerialPort.receiveReady` says when there is). */
  receive(): number
  /** The guest changed its modem control outputs or sends a break condition. */
  controlChanged?(dataTerminalReady: boolean, requestToSend: boolean, breaking: boolean): void
}

/** Levels of the modem status inputs, as bits of `SerialPort.setModemInputs`: those of the 16550's Modem Status Register. */
export const ModemInput = { CTS: 0x10, DSR: 0x20, RI: 0x40, DCD: 0x80 } as const

/** The UART's host side. None of these may be called from inside a SerialBackend method. */
export interface SerialPort {
  /** A back end that refused a byte can take bytes again. */
  transmitReady(): void
  /** A back end that returned -1 has bytes now. */
  receiveReady(): void
  /** A break condition arrives from the line. False if the UART has no room for it. */
  receiveBreak(): boolean
  /** Sets all modem inputs: a combination of `ModemInput` bits. */
  setModemInputs(levels: number): void
}
