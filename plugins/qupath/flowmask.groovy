/*
 * Segments the open image, or the selected annotations, with Flowmask and adds the cells as detections.
 *
 * Install: `pip install .` in a checkout of Flowmask; then Automate > Script editor > Open > this file > Run. Set the path
 * of the command below if QuPath does not find it. It was written for QuPath 0.5 and newer.
 */
import java.awt.geom.AffineTransform
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths

import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjectTools
import qupath.lib.regions.RegionRequest

import static qupath.lib.scripting.QP.*

String command = 'flowmask'     // or the full path, such as /home/me/.venv/bin/flowmask
String network = 'small'        // `flowmask models` lists the names
String diameter = ''            // cell diameter, such as '30' in px or '12um'; empty: estimated
String channels = ''            // such as 'DAPI' or 'PanCK,DAPI'; empty: all, as in the file

/** Runs Flowmask on an image file and returns the cells. */
List<PathObject> segment(Path image, Path folder, List<String> options) {
    def words = options[0..0] + ['segment', image.toString(), '-o', folder.toString(), '--save', 'labels,geojson', '--quiet'] + options[1..-1]
    def process = new ProcessBuilder(words.collect { it.toString() }).redirectErrorStream(true).start()
    def said = process.inputStream.text
    if (process.waitFor() != 0)
        throw new IOException('Flowmask failed: ' + said)
    def found = Files.list(folder).filter { it.toString() =~ /\.geojson(\.gz)?$/ }.findFirst()
    if (!found.isPresent())
        throw new IOException('Flowmask wrote no outlines: ' + said)
    return PathIO.readObjects(found.get())
}

def server = getCurrentServer()
def options = [command, '--model', network]
if (diameter) options += ['--diameter', diameter]
if (channels) options += ['--channels', channels]
if (diameter.endsWith('um') && server.pixelCalibration.hasPixelSizeMicrons())
    options += ['--pixel-size', server.pixelCalibration.averagedPixelSizeMicrons.toString()]

def chosen = getSelectedObjects().findAll { it.isAnnotation() }
if (chosen.isEmpty()) {
    // The file itself: Flowmask reads a slide by windows.
    def folder = Files.createTempDirectory('flowmask')
    def image = Paths.get(server.URIs.first())
    def cells = segment(image, folder, options)
    addObjects(cells)
    println "${cells.size()} cells"
} else {
    for (annotation in chosen) {
        def folder = Files.createTempDirectory('flowmask')
        def image = folder.resolve('region.tif')
        def region = RegionRequest.createInstance(server.path, 1, annotation.getROI())
        writeImageRegion(server, region, image.toString())
        def shift = AffineTransform.getTranslateInstance(region.x, region.y)
        def cells = segment(image, folder, options)
            .collect { PathObjectTools.transformObject(it, shift, true) }
            .findAll { annotation.getROI().contains(it.getROI().centroidX, it.getROI().centroidY) }
        annotation.addChildObjects(cells)
        println "${cells.size()} cells in ${annotation}"
    }
}
fireHierarchyUpdate()
