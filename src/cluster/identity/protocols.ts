/** The protocols of the port for other machines, by the names that TLS chooses them with. */

/** Between machines of a fleet: calls, and raw bytes. */
export type MachineProtocol = 'link' | 'stream'

export const alpnOf: Readonly<Record<MachineProtocol | 'join', string>> = {
  link: 'holon-rpc/1',
  stream: 'holon-stream/1',
  join: 'holon-join/1',
}

/** Where agents listen unless told otherwise. */
export const defaultPort = 4656
