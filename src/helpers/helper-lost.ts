/** A helper process ended by itself, or was ended from outside. */
export class HelperLost extends Error {
  override name = "HelperLost";
}
