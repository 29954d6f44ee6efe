/** The device and the endpoint of a server. */
import { Device } from '../verbs/device';
import { Endpoint } from '../verbs/endpoint';

/**
 * Opens an endpoint for a server, and closes it when the server has ended.
 *
 * @param run - the server
 * @throws RdmaError if the endpoint cannot be opened; what the server throws
 */
export async function withEndpoint(
  { address, udpPort }: { readonly address: string; readonly udpPort: number },
  run: (device: Device, endpoint: Endpoint) => Promise<void>,
): Promise<void> {
  const device = new Device();
  try {
    await run(device, new Endpoint({ device, address, port: udpPort }));
  } finally {
    device.close({ cascade: true });
  }
}
