/** What the driver can't do, or doesn't understand: nothing that the SDK did. */
export class Fault extends Error {
  override name = "Fault";
}
