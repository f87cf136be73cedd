import { TenonError } from '../base/errors.ts'

/**
 * What networks may fail with.
 *
 * NETWORK_CONFIGURATION_INVALID  a description that makes no sense: an impossible CIDR, an address given twice
 * NETWORK_RULE_INVALID           a rule of what may be reached that cannot be read
 * PORT_IN_USE, PORT_UNAVAILABLE  a port of the host's that cannot be published
 * PORT_TARGET_UNKNOWN            a port is published for a guest that nobody knows
 * NETWORK_FULL                   a switch has no port left
 * NETWORK_EXISTS, NETWORK_UNKNOWN, NETWORK_IN_USE   names of networks; guests are still plugged in
 */
export type NetworkErrorCode =
  | 'NETWORK_CONFIGURATION_INVALID' | 'NETWORK_RULE_INVALID' | 'PORT_IN_USE' | 'PORT_UNAVAILABLE' | 'PORT_TARGET_UNKNOWN'
  | 'NETWORK_FULL' | 'NETWORK_EXISTS' | 'NETWORK_IN_USE' | 'NETWORK_UNKNOWN'

export function networkError(code: NetworkErrorCode, message: string, cause?: unknown): TenonError<NetworkErrorCode> {
  return new TenonError<NetworkErrorCode>(code, message, cause === undefined ? undefined : { cause })
}
